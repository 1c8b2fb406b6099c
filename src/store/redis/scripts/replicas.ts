import { NOW, OUTLIVE, OWN_TYPE, type Script } from './lua.ts';

const MAX_INFO_BYTES = 4_096;

const LIVE = `
local function live(seen, info)
  local out = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', seen, '(' .. now(), '+inf', 'LIMIT', 0, 1000)) do
    local text = redis.call('HGET', info, id)
    if text and #text <= ${MAX_INFO_BYTES} then out[#out + 1] = text end
  end
  return out
end
`;

/** KEYS seen (id -> expiry), info (id -> JSON)   ARGV id, JSON, ttl   returns the JSON of all that live */
export const ANNOUNCE: Script = {
  name: 'announce',
  keys: 2,
  lua: `${OWN_TYPE}${NOW}${OUTLIVE}${LIVE}
local seen, info = KEYS[1], KEYS[2]
own(seen, 'zset')
own(info, 'hash')
for _, id in ipairs(redis.call('ZRANGEBYSCORE', seen, '-inf', now())) do
  redis.call('ZREM', seen, id)
  redis.call('HDEL', info, id)
end
redis.call('ZADD', seen, now() + ARGV[3], ARGV[1])
redis.call('HSET', info, ARGV[1], ARGV[2])
outlive(seen, ARGV[3])
outlive(info, ARGV[3])
return live(seen, info)
`,
};

/** KEYS seen   returns the ids of all that live, or false where the key is not what we write */
export const LIVE_REPLICAS: Script = {
  name: 'liveReplicas',
  keys: 1,
  lua: `${NOW}
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {} end
if kind ~= 'zset' then return false end
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now(), '+inf', 'LIMIT', 0, 1000)
`,
};

/** KEYS seen, info   ARGV id */
export const RETIRE: Script = {
  name: 'retire',
  keys: 2,
  lua: `${OWN_TYPE}
own(KEYS[1], 'zset')
own(KEYS[2], 'hash')
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('HDEL', KEYS[2], ARGV[1])
`,
};
