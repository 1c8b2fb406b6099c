import { NOW, OUTLIVE, OWN_TYPE, type Script } from './lua.ts';

const HOLDER = `
local function holder(value, at)
  local expiry, id = string.match(value or '', '^(%d+) (.+)$')
  if expiry and tonumber(expiry) > at then return id end
end
`;

/**
 * KEYS owner (node -> "<expiry> <replica>")   ARGV replica, ttl, node, …
 * Returns the places in the list of the nodes that are now the replica's.
 */
export const CLAIM_POLLS: Script = {
  name: 'claimPolls',
  keys: 1,
  lua: `${OWN_TYPE}${NOW}${OUTLIVE}${HOLDER}
own(KEYS[1], 'hash')
local at, held = now(), {}
local mine = string.format('%d %s', at + ARGV[2], ARGV[1])
for i = 3, #ARGV do
  local other = holder(redis.call('HGET', KEYS[1], ARGV[i]), at)
  if not other or other == ARGV[1] then
    redis.call('HSET', KEYS[1], ARGV[i], mine)
    held[#held + 1] = i - 3
  end
end
-- Nodes that are long gone must not stay for as long as others are renewed.
if redis.call('HLEN', KEYS[1]) > 4 * #ARGV + 1000 then
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do if not holder(all[i + 1], at) then redis.call('HDEL', KEYS[1], all[i]) end end
end
outlive(KEYS[1], ARGV[2])
return held
`,
};

/** KEYS owner   ARGV replica, node, … (no node: all that it has)   returns how many it had */
export const RELEASE_POLLS: Script = {
  name: 'releasePolls',
  keys: 1,
  lua: `${OWN_TYPE}${NOW}${HOLDER}
own(KEYS[1], 'hash')
local released, nodes = 0, {}
for i = 2, #ARGV do nodes[#nodes + 1] = ARGV[i] end
if #nodes == 0 then nodes = redis.call('HKEYS', KEYS[1]) end
for _, node in ipairs(nodes) do
  if holder(redis.call('HGET', KEYS[1], node), 0) == ARGV[1] then
    redis.call('HDEL', KEYS[1], node)
    released = released + 1
  end
end
return released
`,
};
