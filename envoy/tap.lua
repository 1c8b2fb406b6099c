-- tap: reads token counts and durations from the last 2 KiB of an answer, and whether it ended as it should.
-- Chunks pass on at once and unchanged; per chunk only its last bytes are copied.
local find, match, sub, byte = string.find, string.match, string.sub, string.byte
local TAIL = 2048
local ROOM = 8192 -- bytes collected before all but the last TAIL are dropped

-- Names in the metadata, and what the APIs call them.
local NUMBERS = {
  { "prompt_tokens", '"prompt_eval_count"', '"prompt_tokens"', '"input_tokens"' },
  { "completion_tokens", '"eval_count"', '"completion_tokens"', '"output_tokens"' },
  { "total_ns", '"total_duration"' },
  { "load_ns", '"load_duration"' },
  { "prompt_eval_ns", '"prompt_eval_duration"' },
  { "eval_ns", '"eval_duration"' },
}
-- Any of these in the tail of an event stream says that it ended as it should. The last one is for a final event of
-- the responses API that is longer than the tail: only that event has it.
local LAST_EVENTS =
  { "[DONE]", '"message_stop"', '"response.completed"', '"response.incomplete"', '"output_tokens_details"' }

local function tail_of(handle)
  local parts, n, size = {}, 0, 0
  for chunk in handle:bodyChunks() do
    local len = chunk:length()
    if len > 0 then
      local take = len < TAIL and len or TAIL
      if size + take > ROOM then
        parts = { sub(table.concat(parts), -TAIL) }
        n, size = 1, #parts[1]
      end
      n = n + 1
      parts[n] = chunk:getBytes(len - take, take)
      size = size + take
    end
  end
  return sub(table.concat(parts), -TAIL)
end

-- The number behind the last `key`. Patterns are matched at a fixed place only: unanchored they can take quadratic time.
local function last_number(tail, key)
  local from, digits = 1, nil
  repeat
    local _, stop = find(tail, key, from, true)
    if stop then
      digits = match(tail, "^%s*:%s*(%d+)", stop + 1) or digits
      from = stop + 1
    end
  until not stop
  return tonumber(digits)
end

local function last_line(tail)
  local stop = #tail
  while stop > 0 and byte(tail, stop) <= 32 do stop = stop - 1 end
  local start = stop
  while start > 0 and byte(tail, start) ~= 10 do start = start - 1 end
  return sub(tail, start + 1, stop)
end

-- An error in the last line, or a stream whose last line is not the last one it should have.
local function lines_broken(tail)
  local last = last_line(tail)
  return find(last, '^{"error"') ~= nil
    or not (find(last, '"done":true', 1, true) or find(last, '"total_duration"', 1, true))
end

local function events_broken(tail)
  for _, event in ipairs(LAST_EVENTS) do
    if find(tail, event, 1, true) then return false end
  end
  return true
end

function envoy_on_response(handle)
  -- Whoever answered, bones are pieces of the client's text: the access log must not carry them.
  handle:streamInfo():dynamicMetadata():set("warmpath", "bones", "")
  local headers = handle:headers()
  local status = headers:get(":status")
  -- Ollama says "busy" without a word on when to come back.
  if (status == "503" or status == "429") and not headers:get("retry-after") then headers:add("retry-after", "1") end
  if status ~= "200" then return end
  local kind = headers:get("content-type") or ""
  local lines = find(kind, "application/x-ndjson", 1, true) ~= nil
  local events = find(kind, "text/event-stream", 1, true) ~= nil
  if not (lines or events or find(kind, "application/json", 1, true)) then return end
  local tail = tail_of(handle)
  -- A handle to the metadata does not survive the waiting above: fetched here.
  local metadata = handle:streamInfo():dynamicMetadata()
  for _, names in ipairs(NUMBERS) do
    for i = 2, #names do
      local number = last_number(tail, names[i])
      if number then
        metadata:set("warmpath.tap", names[1], number)
        break
      end
    end
  end
  if (lines and lines_broken(tail)) or (events and events_broken(tail)) then
    metadata:set("warmpath.tap", "error", true)
  end
end
