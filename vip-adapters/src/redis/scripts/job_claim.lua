-- Leases due jobs of the named kinds, earliest due first. Answers the time, then the jobs.
-- Arguments: now, duration of the lease, claim id, most, kinds.
local lease, claim, most = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
if not lease or not most or most > BATCH_MOST then return redis.error_reply('VIP a claim of another shape') end

local latest = '+inf'
latest = now -- guard: due
local found = {}
for at = 5, #ARGV do
  -- The earliest `most` of all kinds are among the earliest `most` of each: the rest of a long queue is not looked at.
  local due = redis.call('ZRANGEBYSCORE', due_key(ARGV[at]), '-inf', latest, 'WITHSCORES', 'LIMIT', 0, most)
  for place = 1, #due, 2 do
    found[#found + 1] = { id = due[place], due = tonumber(due[place + 1]), kind = ARGV[at] }
  end
end
table.sort(found, function(one, other)
  if one.due ~= other.due then return one.due < other.due end
  return one.id < other.id
end)

-- Above all earlier epochs and above the clock: it rises even if this queue is lost and another one begins.
local epoch = now - 1
epoch = math.max(epoch, tonumber(redis.call('GET', EPOCH) or '0')) -- guard: epoch
local answer = { now }
for place = 1, math.min(most, #found) do
  local id, kind = found[place].id, found[place].kind
  redis.call('ZREM', due_key(kind), id)
  -- An index may name a job that is gone, or one that came back under the same id.
  if redis.call('HGET', job_key(id), 'state') == 'waiting' then
    epoch = epoch + 1
    redis.call('ZADD', held_key(kind), now + lease, id)
    redis.call('ZADD', LEASED, 0, id)
    redis.call('HSET', job_key(id), 'state', 'leased', 'claim', claim, 'epoch', epoch, 'lease_until', now + lease)
    answer[#answer + 1] = show(id)
  end
end
if #answer > 1 then redis.call('SET', EPOCH, epoch) end
-- There may be more than one worker can take: the next one need not wait for its poll.
if #found >= most and #found > 0 then
  bells[found[1].kind] = 1
  ring()
end
return answer
