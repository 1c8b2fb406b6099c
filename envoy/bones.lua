-- bones: the request's JSON with the inside of every long string cut to its first 64 bytes and "#length",
-- put into dynamic metadata for ext_proc, so that a large body need not leave Envoy to be routed.
-- It only looks for quotes, within budgets; past any of them, or where the quotes do not close: no bones.
local find, byte, sub = string.find, string.byte, string.sub
local WINDOW = 65536 -- bytes looked at once
local SHORT = 1024 -- bodies up to here are their own bones
local KEEP, HEAD = 300, 64 -- strings longer than KEEP keep their first HEAD bytes
local QUOTES, BONES, SLASHES = 131072, 131072, 256 -- budgets: quotes, bytes of bones, backslashes in a row
local LIMIT = @BODY_LIMIT@

-- Backslashes directly before position `to`, not reaching back before `from`; nil past the budget.
local function slashes(s, from, to)
  local stop = from
  if to - from >= SLASHES then stop = to - SLASHES end
  local at = to
  while at >= stop and byte(s, at) == 92 do at = at - 1 end
  if to - at > SLASHES then return nil end
  return to - at, at < from
end

local function bones(body, len)
  local out, n, size, quotes = {}, 0, 0, 0
  local inside, head, length, carry, offset = false, "", 0, 0, 0
  while offset < len do
    local w = len - offset
    if w > WINDOW then w = WINDOW end
    local s = body:getBytes(offset, w)
    offset = offset + w
    local pos = 1
    while pos <= w do
      local q = find(s, '"', pos, true)
      if not inside then
        local to = q or w
        size = size + to - pos + 1
        if size > BONES then return nil end
        n = n + 1
        out[n] = sub(s, pos, to)
        pos = to + 1
        if q then inside, head, length, carry = true, "", 0, 0 end
      else
        local to = (q or w + 1) - 1
        local run, whole = slashes(s, pos, to)
        if run == nil then return nil end
        -- The run may have begun in the window before.
        if whole then run = run + carry end
        if run > SLASHES then return nil end
        local part = to - pos + 1
        if length <= KEEP then head = head .. sub(s, pos, pos + (part < KEEP + 1 and part or KEEP + 1) - 1) end
        length = length + part
        if not q then
          carry = run
          pos = w + 1
        else
          quotes = quotes + 1
          if quotes > QUOTES then return nil end
          if run % 2 == 1 then
            if length <= KEEP then head = head .. '"' end
            length = length + 1
            carry = 0
          else
            inside = false
            local text = head .. '"'
            if length > KEEP then text = sub(head, 1, HEAD) .. "#" .. length .. '"' end
            n = n + 1
            out[n] = text
            size = size + #text
            if size > BONES then return nil end
          end
          pos = q + 1
        end
      end
    end
  end
  if inside then return nil end
  return table.concat(out)
end

function envoy_on_request(handle)
  local body = handle:body()
  if body == nil then return end
  local len = body:length()
  if len > LIMIT then return end
  local text
  if len <= SHORT then text = body:getBytes(0, len) else text = bones(body, len) end
  -- Metadata ends at a NUL byte: half of the bones are none.
  if text and not find(text, "\0", 1, true) then handle:streamInfo():dynamicMetadata():set("warmpath", "bones", text) end
end
