-- Returns jobs whose leases have expired to waiting and counts a rescue; beyond the bound they are dead.
-- Arguments: now, most rescues, most jobs, how far ahead a lease may end.
local max_rescues, most, ahead = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not max_rescues or not most or not ahead or most > BATCH_MOST then
  return redis.error_reply('VIP a reap of another shape')
end

local latest = '+inf'
latest = now -- guard: expiry
-- What ends later was leased while the clock was ahead, and nobody is to wait until it is there again.
local beyond = '(' .. string.format('%.0f', now + ahead)
local found = {}
for _, kind in ipairs(redis.call('SMEMBERS', KINDS)) do
  for _, range in ipairs({ { '-inf', latest }, { beyond, '+inf' } }) do
    local expired = redis.call('ZRANGEBYSCORE', held_key(kind), range[1], range[2], 'WITHSCORES', 'LIMIT', 0, most)
    for place = 1, #expired, 2 do
      found[#found + 1] = { id = expired[place], ended = tonumber(expired[place + 1]), kind = kind }
    end
  end
end
table.sort(found, function(one, other)
  if one.ended ~= other.ended then return one.ended < other.ended end
  return one.id < other.id
end)

local reaped = 0
for place = 1, math.min(most, #found) do
  local job = read(found[place].id)
  -- An index may name a job that is gone, or one that came back under the same id and was not leased.
  if job and job.state == 'leased' then
    end_lease(job)
    job.due, job.rescues = now, job.rescues + 1
    local lost = false
    lost = lost or job.rescues > max_rescues -- guard: rescues
    if lost then
      job.last_error = 'lost_worker'
      die(job, now)
    else
      wait(job)
    end
    write(job)
    reaped = reaped + 1
  else
    redis.call('ZREM', held_key(found[place].kind), found[place].id)
    redis.call('ZREM', LEASED, found[place].id)
  end
end
ring()
return reaped
