"""The books of ``books.py`` in Lua, for Redis: one call is one atomic exchange, on Redis' own clock."""

# KEYS[1]: the lane. ARGV[1]: the report as JSON. ARGV[2]: the time in seconds, "" for Redis' own (tests give another).
SCRIPT = """
local LEASE, HOLD, MEMORY, SLICE, SLOTS, HEARTBEAT, SILENCE, KEPT, NEXT = 3, 3, 20, 20, 240, 1, 0.8, 600, 0.2
local REST, VIGIL = 2.5, 4.5
local floor, max, min = math.floor, math.max, math.min
local report = cjson.decode(ARGV[1])
local now = tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1e6
end
local packed = redis.call('GET', KEYS[1])
local state = packed and cmsgpack.unpack(packed)
if not state then
  state = {generation = report.fresh, at = now, hold = report.generation ~= '' and now + HOLD or 0, base = {0, 0},
           slots = {}, members = {}, pauses = {}, learned = {}}
end
local length, bucket = report.window / SLOTS, report.mode == 'bucket'

local function rewind()
  local total = {0, 0}
  for _, slot in ipairs(state.slots) do
    total[1], total[2] = total[1] + slot[2], total[2] + slot[3]
  end
  state.slots = (total[1] ~= 0 or total[2] ~= 0) and {{floor(now / length), total[1], total[2]}} or {}
  state.hold, state.base, state.learned = 0, {0, 0}, {}
  for _, member in pairs(state.members) do
    member['until'], member.at, member.since = now + LEASE, now, min(member.since, now)
  end
  for lane, ends in pairs(state.pauses) do
    state.pauses[lane] = min(ends, now + LEASE)
  end
end

if now < state.at - 1 then
  rewind()
  state.at = now
end
if report.alone and now > state.at + SILENCE then state.hold = max(state.hold, now + HOLD) end
now = max(now, state.at)
state.at = now
local slots, members, pauses, learned = state.slots, state.members, state.pauses, state.learned

local function place(number, requests, tokens)
  local head = floor(now / length)
  if number < head - SLOTS or (requests == 0 and tokens == 0) then return end
  number = min(number, head + 1)
  local at = #slots
  while at > 0 and slots[at][1] > number do at = at - 1 end
  if at > 0 and slots[at][1] == number then
    slots[at][2], slots[at][3] = slots[at][2] + requests, slots[at][3] + tokens
  else
    table.insert(slots, at + 1, {number, requests, tokens})
  end
end

local caps = {report.capacities[1], report.capacities[2]}

local function lower()
  for name, member in pairs(members) do
    if name ~= report.member then
      for at = 1, 2 do
        local given = member.capacities[at]
        if given ~= -1 then caps[at] = caps[at] == -1 and given or min(caps[at], given) end
      end
    end
  end
end

local function level(member, at)
  return member.level[at] * math.exp((member.at - now) / MEMORY)
end

local function full_at(at, count, each)
  local full = state.base[at]
  for index = 1, count do
    local slot = slots[index]
    if slot[at + 1] ~= 0 then full = max(full, min((slot[1] + 1) * length, now)) + slot[at + 1] * each end
  end
  return full
end

local function used(at)
  local capacity = caps[at]
  if not bucket or capacity == -1 then
    local sum = 0
    for _, slot in ipairs(slots) do sum = sum + slot[at + 1] end
    return sum
  end
  local each = report.window / capacity
  return max(0, (full_at(at, #slots, each) - now) / each)
end

local function opens_in(at, missing)
  if bucket then return missing * report.window / caps[at] end
  for _, slot in ipairs(slots) do
    missing = missing - slot[at + 1]
    if missing <= 0 then return (slot[1] + SLOTS + 1) * length - now end
  end
  return report.window
end

local function bury()
  for name, member in pairs(members) do
    if member['until'] <= now then
      place(floor(member['until'] / length), member.held[1], member.held[2])
      members[name] = nil
    end
  end
  for lane, ends in pairs(pauses) do
    if ends <= now then pauses[lane] = nil end
  end
  for lane, limits in pairs(learned) do
    if limits[5] <= now then learned[lane] = nil end
  end
end

local function turn()
  local first, gone = floor(now / length) - SLOTS, 0
  while slots[gone + 1] and slots[gone + 1][1] < first do gone = gone + 1 end
  if gone == 0 then return end
  for at = 1, 2 do
    if bucket and caps[at] ~= -1 then state.base[at] = full_at(at, gone, report.window / caps[at]) end
  end
  local left = {}
  for index = gone + 1, #slots do left[#left + 1] = slots[index] end
  slots, state.slots = left, left
end

local function filled(levels, total)
  table.sort(levels)
  for _, its in ipairs(levels) do total = total + its end
  while #levels > 1 and levels[#levels] > total / #levels do total = total - table.remove(levels) end
  return total / #levels
end

local function room(me, at)
  local free, levels, hungry = caps[at] - used(at), {}, {}
  for _, member in pairs(members) do
    free = free - member.held[at]
    if member.needs[at] ~= 0 then
      local its = level(member, at) + member.held[at]
      levels[#levels + 1] = its
      hungry[#hungry + 1] = {member, its}
    end
  end
  local goal, older, reserved = filled(levels, free), 0, 0
  for _, pair in ipairs(hungry) do
    local member = pair[1]
    if member ~= me then
      local first = member.since ~= 0 and member.since < me.since and member.head[at] or 0
      older = older + first
      reserved = reserved + max(first, min(member.needs[at], max(0, goal - pair[2])))
    end
  end
  return free - older, free - reserved
end

local function grant(me)
  local needs = me.needs
  if needs[1] == 0 and needs[2] == 0 then return {0, 0}, 0 end
  if now < state.hold then return {0, 0}, state.hold - now end
  local head, share, retry_in, refused_for = {}, 1, 0, 0
  for at = 1, 2 do
    head[at] = caps[at] == -1 and me.head[at] or min(me.head[at], floor(caps[at]))
  end
  for at = 1, 2 do
    if caps[at] ~= -1 and needs[at] ~= 0 then
      local sure, fair = room(me, at)
      if head[at] > sure then
        refused_for = max(refused_for, NEXT, min(at == 1 and REST or HEARTBEAT, opens_in(at, head[at] - sure)))
      end
      local slice = caps[at] / SLICE - me.held[at]
      if min(fair, slice) < needs[at] then
        retry_in = max(retry_in, slice < fair and NEXT or HEARTBEAT)
        share = min(share, max(min(fair, slice), head[at], 0) / needs[at])
      end
    end
  end
  if refused_for ~= 0 then return {0, 0}, refused_for end
  me.since = 0
  local granted = {}
  for at = 1, 2 do granted[at] = max(head[at], floor(needs[at] * share)) end
  return granted, retry_in
end

local function said(granted, retry_in, lost)
  local taken, count, hungry, left = {}, 0, 0, {}
  for at = 1, 2 do taken[at] = used(at) end
  for _, member in pairs(members) do
    count = count + 1
    taken[1], taken[2] = taken[1] + member.held[1], taken[2] + member.held[2]
    if member.needs[1] ~= 0 or member.needs[2] ~= 0 then hungry = hungry + 1 end
  end
  for lane, ends in pairs(pauses) do left[lane] = ends - now end
  redis.call('SET', KEYS[1], cmsgpack.pack(state), 'PX', floor((2 * report.window + 60) * 1000))
  return cjson.encode({generation = state.generation, now = string.format('%.6f', now), granted = granted,
                       retry_in = retry_in, members = count, hungry = hungry, capacities = caps,
                       used = {math.ceil(taken[1]), math.ceil(taken[2])}, pauses = left, learned = learned, lost = lost})
end

bury()
lower()
turn()
if report.generation ~= '' and report.generation ~= state.generation and not report.whole then
  state.hold = max(state.hold, now + HOLD)
  return said({0, 0}, 0, true)
end
local me = members[report.member]
if not me then
  me = {number = 0, since = 0, at = now, held = {0, 0}, needs = {0, 0}, head = {0, 0}, level = {0, 0},
        capacities = report.capacities}
  me['until'] = 0
  members[report.member] = me
end
if report.number ~= me.number then
  me.number = report.number
  local levels = {level(me, 1), level(me, 2)}
  for _, spent in ipairs(report.spent) do
    place(spent[1], spent[2], spent[3])
    levels[1], levels[2] = levels[1] + spent[2], levels[2] + spent[3]
  end
  me.level, me.at = levels, now
end
for lane, seconds in pairs(report.pauses) do pauses[lane] = max(pauses[lane] or 0, now + seconds) end
for lane, limits in pairs(report.learned) do
  limits[5] = now + KEPT
  learned[lane] = limits
end
if report.leaves then
  place(floor(now / length), report.held[1], report.held[2])
  members[report.member] = nil
  return said({0, 0}, 0, false)
end
me.held, me.needs, me.head, me.capacities = report.held, report.needs, report.head, report.capacities
if me.needs[1] == 0 and me.needs[2] == 0 then
  me.since = 0
elseif me.since == 0 then
  me.since = now
end
local granted, retry_in = grant(me)
me.held = {me.held[1] + granted[1], me.held[2] + granted[2]}
me['until'] = now + ((me.held[1] ~= 0 or me.held[2] ~= 0) and LEASE or VIGIL)
return said(granted, retry_in, false)
"""
