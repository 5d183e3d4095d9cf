-- Counts jobs by state. Arguments: now, kinds; no kind named means all.
-- Answers due, later, leased, dead, and for how long the oldest due job has been due, or nothing.
local kinds = { unpack(ARGV, 2) }
if #kinds == 0 then kinds = redis.call('SMEMBERS', KINDS) end
local due, later, leased, dead, first = 0, 0, 0, 0, nil
for _, kind in ipairs(kinds) do
  local ready = redis.call('ZCOUNT', due_key(kind), '-inf', now)
  due = due + ready
  later = later + redis.call('ZCARD', due_key(kind)) - ready
  leased = leased + redis.call('ZCARD', held_key(kind))
  dead = dead + redis.call('SCARD', dead_key(kind))
  local oldest = tonumber(redis.call('ZRANGE', due_key(kind), 0, 0, 'WITHSCORES')[2])
  if oldest and oldest <= now then first = math.min(first or oldest, oldest) end
end
return { due, later, leased, dead, first and now - first or -1 }
