import { OWN_TYPE, type Script } from './lua.ts';

/** KEYS claim   ARGV lease, ttl ms   returns 1 where it is the lease's turn */
export const BEGIN_CLAIM: Script = {
  name: 'beginClaim',
  keys: 1,
  lua: `${OWN_TYPE}
own(KEYS[1], 'string')
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`,
};

/** KEYS claim   ARGV lease */
export const END_CLAIM: Script = {
  name: 'endClaim',
  keys: 1,
  lua: `${OWN_TYPE}
own(KEYS[1], 'string')
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('UNLINK', KEYS[1]) end
return 1
`,
};

/** KEYS counts   ARGV pair   returns how many run there */
export const COUNT_PAIR: Script = {
  name: 'countPair',
  keys: 1,
  lua: `
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return 0 end
return math.max(0, tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0) or 0)
`,
};
