-- Ends leases that are the present ones, expired or not; what a second call finds is another lease or none.
-- Arguments: now, then for each settlement: job, epoch, claim, verdict, delay, code.
local WIDTH = 6
local wrong = check_batch(2, WIDTH, { 1, 4 })
if wrong then return wrong end
local VERDICTS = { done = true, retry = true, snooze = true, release = true, dead = true }
for at = 2, #ARGV, WIDTH do
  if not VERDICTS[ARGV[at + 3]] then return redis.error_reply('VIP a verdict is none') end
end

-- Says whether the job is dead now.
local function apply(job, verdict, delay, code)
  local rerun_due = job.rerun_due
  local earliest = math.min(now + delay, rerun_due or now + delay)
  if verdict == 'done' then
    if rerun_due then revive(job, rerun_due) else job.state = 'gone' end
    return false
  end
  if verdict == 'dead' then
    job.last_error = code
    return die(job, rerun_due)
  end
  if verdict == 'retry' then
    job.attempts, job.last_error, job.due = job.attempts + 1, code, earliest
    local last = false
    last = last or job.attempts >= job.max_attempts -- guard: attempts
    if last then return die(job, rerun_due) end
  elseif verdict == 'snooze' then
    -- A run that ended by itself: the workers that disappeared before it tell nothing about the job any more.
    job.snoozes, job.rescues, job.due = job.snoozes + 1, 0, earliest
  else
    job.due = now
  end
  wait(job)
  return false
end

local function settle(at)
  local job = read(ARGV[at])
  local held = job and job.state == 'leased'
  held = held and job.epoch == ARGV[at + 1] -- guard: epoch
  held = held and job.claim == ARGV[at + 2] -- guard: claim
  if not held then return 'stale' end
  end_lease(job)
  local died = apply(job, ARGV[at + 3], tonumber(ARGV[at + 4]), ARGV[at + 5])
  if job.state == 'gone' then forget(job) else write(job) end
  return died and 'died' or 'applied'
end

local answers = {}
for at = 2, #ARGV, WIDTH do answers[#answers + 1] = settle(at) end
ring()
return answers
