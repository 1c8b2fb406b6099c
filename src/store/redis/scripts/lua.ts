/** A script of ours: runs atomically, and touches the keys of one cluster slot only. */
export interface Script {
  /** Also a metric label. */
  readonly name: string;
  /** Undefined: as many as the caller gives. */
  readonly keys: number | undefined;
  readonly lua: string;
}

/** Puts right what somebody else has made of a key; without it one WRONGTYPE would last for ever. */
export const OWN_TYPE = `
local function own(key, kind)
  local found = redis.call('TYPE', key).ok
  if found ~= 'none' and found ~= kind then redis.call('UNLINK', key) end
end
`;

export const NOW = `
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
`;

/** Never shortens: several replicas write these keys. */
export const OUTLIVE = `
local function outlive(key, ttl)
  if redis.call('PTTL', key) < tonumber(ttl) then redis.call('PEXPIRE', key, ttl) end
end
`;
