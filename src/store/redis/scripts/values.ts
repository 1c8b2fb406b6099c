import { MAX_VALUE_BYTES } from '../../limits.ts';
import { NOW, OWN_TYPE, type Script } from './lua.ts';

/** All documents of a kind together. */
const MAX_DOCUMENTS_BYTES = 64 * 1024 * 1024;

/** KEYS one per node   ARGV ttl, then the facts of each as JSON. Values are "<written at> <JSON>". */
export const SAVE_NODES: Script = {
  name: 'saveNodes',
  keys: undefined,
  lua: `${NOW}
local at = string.format('%d ', now())
for i, key in ipairs(KEYS) do redis.call('SET', key, at .. ARGV[i + 1], 'PX', ARGV[1]) end
return #KEYS
`,
};

/** KEYS one per node   returns now, then each value; '' where there is none, '!' where it is not what we write. */
export const LOAD_NODES: Script = {
  name: 'loadNodes',
  keys: undefined,
  lua: `${NOW}
local out = { string.format('%d', now()) }
for i, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind == 'none' then
    out[i + 1] = ''
  elseif kind ~= 'string' or redis.call('STRLEN', key) > ${MAX_VALUE_BYTES + 32} then
    out[i + 1] = '!'
  else
    out[i + 1] = redis.call('GET', key)
  end
end
return out
`,
};

/** KEYS documents of a kind   ARGV id, JSON */
export const PUT_DOCUMENT: Script = {
  name: 'putDocument',
  keys: 1,
  lua: `${OWN_TYPE}
own(KEYS[1], 'hash')
return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
`,
};

/** KEYS documents of a kind   ARGV id   returns 1 where there was one */
export const DELETE_DOCUMENT: Script = {
  name: 'deleteDocument',
  keys: 1,
  lua: `${OWN_TYPE}
own(KEYS[1], 'hash')
return redis.call('HDEL', KEYS[1], ARGV[1])
`,
};

/** KEYS documents of a kind   returns id, JSON, …; '!' for a value, or false for a key, that is not what we write */
export const READ_DOCUMENTS: Script = {
  name: 'readDocuments',
  keys: 1,
  lua: `
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {} end
if kind ~= 'hash' then return false end
local out, left = {}, ${MAX_DOCUMENTS_BYTES}
for _, id in ipairs(redis.call('HKEYS', KEYS[1])) do
  if #id <= 1024 then
    local bytes = redis.call('HSTRLEN', KEYS[1], id)
    local isSane = bytes <= ${MAX_VALUE_BYTES} and bytes <= left
    if isSane then left = left - bytes end
    out[#out + 1] = id
    out[#out + 1] = isSane and redis.call('HGET', KEYS[1], id) or '!'
  end
end
return out
`,
};
