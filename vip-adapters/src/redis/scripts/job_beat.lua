-- Prolongs leases that are the present ones and have not expired.
-- Arguments: now, duration of the lease, then for each lease: job, epoch, claim.
local WIDTH = 3
local wrong = check_batch(3, WIDTH, { 1 })
if wrong then return wrong end
local lease_until = now + tonumber(ARGV[2])

local answers = {}
for at = 3, #ARGV, WIDTH do
  local job = read(ARGV[at])
  local held = job and job.state == 'leased'
  held = held and job.epoch == ARGV[at + 1] -- guard: epoch
  held = held and job.claim == ARGV[at + 2] -- guard: claim
  held = held and tonumber(job.lease_until) > now -- guard: expiry
  if held then
    local longer = lease_until
    longer = math.max(longer, tonumber(job.lease_until)) -- guard: never shorter
    -- A full server refuses what begins with an addition, and lets go on what begins with a removal.
    redis.call('ZREM', held_key(job.kind), job.id)
    redis.call('ZADD', held_key(job.kind), longer, job.id)
    redis.call('HSET', job_key(job.id), 'lease_until', longer)
  end
  answers[#answers + 1] = held and 1 or 0
end
return answers
