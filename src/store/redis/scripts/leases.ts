import { OWN_TYPE, type Script } from './lua.ts';

/** Pairs in one message. */
const MESSAGE_PAIRS = 1_000;

/**
 * admit: false for writes that must not be applied: those that a newer one of the same process has overtaken (0), and
 * those of a process that another one of the same replica id has followed (-1).
 * tell: publishes absolute counts, so that a lost or doubled message leaves no drift.
 */
const COMMON = `${OWN_TYPE}
local function admit(info, writer, seq, ttl)
  own(info, 'hash')
  local known = redis.call('HMGET', info, 'writer', 'seq')
  if known[1] and known[1] ~= writer then return -1 end
  if known[2] and (tonumber(known[2]) or 0) >= tonumber(seq) then return 0 end
  redis.call('HSET', info, 'writer', writer, 'seq', seq)
  if redis.call('PTTL', info) < 0 then redis.call('PEXPIRE', info, ttl) end
  return 1
end
local function tell(channel, from, isAll, told, counts)
  local at = 1
  repeat
    local out = {}
    while at <= #told and #out < ${MESSAGE_PAIRS} do
      out[#out + 1] = string.sub(told[at], 1, -2) .. ',' .. (counts[told[at]] or 0) .. ']'
      at = at + 1
    end
    redis.call('PUBLISH', channel, '{"from":' .. from .. ',"topic":"leases","body":{"isAll":' .. isAll ..
      ',"counts":[' .. table.concat(out, ',') .. ']}}')
    isAll = 'false'
  until at > #told
end
`;

/**
 * KEYS info, leases (id -> pair), counts (pair -> running)
 * ARGV writer, seq, ttl of an unannounced replica, channel, replica as JSON, then per change: id, pair or ''
 * Returns as admit does.
 */
export const CHANGE_LEASES: Script = {
  name: 'changeLeases',
  keys: 3,
  lua: `${COMMON}
local info, leases, counts = KEYS[1], KEYS[2], KEYS[3]
local admitted = admit(info, ARGV[1], ARGV[2], ARGV[3])
if admitted ~= 1 then return admitted end
own(leases, 'hash')
own(counts, 'hash')
local result, touched = {}, {}
local function add(pair, delta)
  local before = result[pair]
  if not before then
    before = tonumber(redis.call('HGET', counts, pair) or 0) or 0
    touched[#touched + 1] = pair
  end
  result[pair] = math.max(0, before + delta)
end
for i = 6, #ARGV, 2 do
  local id, after = ARGV[i], ARGV[i + 1]
  local before = redis.call('HGET', leases, id) or ''
  if before ~= after then
    if before ~= '' then add(before, -1) end
    if after == '' then
      redis.call('HDEL', leases, id)
    else
      redis.call('HSET', leases, id, after)
      add(after, 1)
    end
  end
end
if #touched == 0 then return 1 end
for _, pair in ipairs(touched) do
  if result[pair] > 0 then redis.call('HSET', counts, pair, result[pair]) else redis.call('HDEL', counts, pair) end
end
local ttl = redis.call('PTTL', info)
redis.call('PEXPIRE', leases, ttl)
redis.call('PEXPIRE', counts, ttl)
tell(ARGV[4], ARGV[5], 'false', touched, result)
return 1
`,
};

/** As CHANGE_LEASES, but the changes are all puts, and what they do not name is gone. */
export const REPLACE_LEASES: Script = {
  name: 'replaceLeases',
  keys: 3,
  lua: `${COMMON}
local info, leases, counts = KEYS[1], KEYS[2], KEYS[3]
local admitted = admit(info, ARGV[1], ARGV[2], ARGV[3])
if admitted ~= 1 then return admitted end
redis.call('UNLINK', leases, counts)
local last, result, told = {}, {}, {}
for i = 6, #ARGV, 2 do last[ARGV[i]] = ARGV[i + 1] end
for id, pair in pairs(last) do
  redis.call('HSET', leases, id, pair)
  if not result[pair] then told[#told + 1] = pair end
  result[pair] = (result[pair] or 0) + 1
end
for pair, count in pairs(result) do redis.call('HSET', counts, pair, count) end
local ttl = redis.call('PTTL', info)
redis.call('PEXPIRE', leases, ttl)
redis.call('PEXPIRE', counts, ttl)
tell(ARGV[4], ARGV[5], 'true', told, result)
return 1
`,
};

/**
 * KEYS info, leases, counts   ARGV writer, ttl   returns the number of leases
 * A new process under an old id starts with none; so does one whose leases and counts do not fit together, for then
 * its own list is the only truth, and the number returned makes it send that.
 */
export const BEAT: Script = {
  name: 'beat',
  keys: 3,
  lua: `${OWN_TYPE}
local info, leases, counts = KEYS[1], KEYS[2], KEYS[3]
own(info, 'hash')
own(leases, 'hash')
own(counts, 'hash')
local known = redis.call('HGET', info, 'writer')
if known and known ~= ARGV[1] then redis.call('UNLINK', info, leases, counts) end
redis.call('HSET', info, 'writer', ARGV[1])
local held, sum = redis.call('HLEN', leases), 0
for _, count in ipairs(redis.call('HVALS', counts)) do sum = sum + (tonumber(count) or 0) end
if sum ~= held then
  redis.call('UNLINK', leases, counts)
  held = 0
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[2]) end
return held
`,
};

/** KEYS info, leases, counts   ARGV channel, replica as JSON */
export const FORGET_LEASES: Script = {
  name: 'forgetLeases',
  keys: 3,
  lua: `${COMMON}
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
tell(ARGV[1], ARGV[2], 'true', {}, {})
return 1
`,
};

/** KEYS counts   ARGV most pairs   returns pair, running, … or false where the key is not what we write */
export const READ_COUNTS: Script = {
  name: 'readCounts',
  keys: 1,
  lua: `
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {} end
if kind ~= 'hash' or redis.call('HLEN', KEYS[1]) > tonumber(ARGV[1]) then return false end
local out = redis.call('HGETALL', KEYS[1])
for _, text in ipairs(out) do if #text > 2048 then return false end end
return out
`,
};
