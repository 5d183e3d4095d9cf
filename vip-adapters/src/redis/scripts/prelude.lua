-- Stands before every script of the queue: the names of its keys, the time, and the few ways in which a job changes.
local base = KEYS[1]

-- Most jobs that one call looks at: a script stops the server while it runs.
local BATCH_MOST = 256
-- Most workers that one call wakes.
local BELLS_MOST = 16

-- The server's clock, never a worker's; only a test gives a time. Microseconds fit into Lua's numbers until the year 2255.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local KEYS_TO_IDS = base .. ':keys'
local KINDS = base .. ':kinds'
local EPOCH = base .. ':epoch'
-- By id: all jobs, leased ones, dead ones.
local ALL, LEASED, DEAD = base .. ':all', base .. ':leased', base .. ':dead'

local function job_key(id) return base .. ':job:' .. id end
-- By time: waiting jobs of a kind by when they are due, leased ones by when their leases end.
local function due_key(kind) return base .. ':due:' .. kind end
local function held_key(kind) return base .. ':held:' .. kind end
local function dead_key(kind) return base .. ':dead:' .. kind end
local function bell_key(kind) return base .. ':bell:' .. kind end

-- What a reader is shown, in this order, after the id. An empty text stands for "none".
local SHOWN = {
  'key', 'kind', 'payload', 'tenant', 'request_id', 'trace_parent', 'state', 'due', 'attempts', 'snoozes', 'rescues',
  'max_attempts', 'claim', 'epoch', 'lease_until', 'last_error',
}
-- What a decision needs; without the payload, which may be large.
local DECISIVE = {
  'key', 'kind', 'state', 'due', 'attempts', 'snoozes', 'rescues', 'max_attempts', 'claim', 'epoch', 'lease_until',
  'last_error', 'rerun_due', 'rerun_why',
}

local function show(id)
  local shown = redis.call('HMGET', job_key(id), unpack(SHOWN))
  if not shown[1] then return nil end
  table.insert(shown, 1, id)
  return shown
end

local function read(id)
  local values = redis.call('HMGET', job_key(id), unpack(DECISIVE))
  -- An index may name a job that is gone, if the server threw keys away.
  if not values[1] then return nil end
  local job = { id = id }
  for place, field in ipairs(DECISIVE) do job[field] = values[place] end
  for _, field in ipairs({ 'due', 'attempts', 'snoozes', 'rescues', 'max_attempts', 'rerun_due' }) do
    job[field] = tonumber(job[field])
  end
  return job
end

-- Puts a job back where a server that throws keys away may have lost it: a lease that no index names would never end, and
-- its key be taken for ever. Waiting jobs are put back with their time.
local function index(job)
  redis.call('ZADD', ALL, 0, job.id)
  redis.call('SADD', KINDS, job.kind)
  if job.state == 'leased' then
    redis.call('ZADD', LEASED, 0, job.id)
    redis.call('ZADD', held_key(job.kind), 'NX', tonumber(job.lease_until) or now, job.id)
  elseif job.state == 'dead' then
    redis.call('ZADD', DEAD, 0, job.id)
    redis.call('SADD', dead_key(job.kind), job.id)
  end
end

-- Bells that rang in this call, by kind; they are written once, at its end.
local bells = {}

-- Puts a job among the waiting ones. Whoever waits is woken if it is due, or the next one that will be.
local function wait(job)
  job.state, job.claim, job.lease_until, job.rerun_due, job.rerun_why = 'waiting', '', '', '', ''
  redis.call('ZADD', due_key(job.kind), job.due, job.id)
  if job.due <= now or redis.call('ZRANGE', due_key(job.kind), 0, 0)[1] == job.id then
    bells[job.kind] = (bells[job.kind] or 0) + 1
  end
end

-- Starts a job afresh: with all attempts and rescues before it.
local function revive(job, due)
  job.due, job.attempts, job.rescues = due, 0, 0
  wait(job)
end

-- Ends a job, unless a command came while it was leased; a wake does not save it. Says whether it is dead.
local function die(job, rerun_due)
  if job.rerun_why == 'command' then
    revive(job, rerun_due)
    return false
  end
  job.state, job.claim, job.lease_until, job.rerun_due, job.rerun_why = 'dead', '', '', '', ''
  redis.call('ZADD', DEAD, 0, job.id)
  redis.call('SADD', dead_key(job.kind), job.id)
  return true
end

local function leave_the_dead(job)
  redis.call('ZREM', DEAD, job.id)
  redis.call('SREM', dead_key(job.kind), job.id)
end

local function end_lease(job)
  redis.call('ZREM', held_key(job.kind), job.id)
  redis.call('ZREM', LEASED, job.id)
end

-- Marks a leased job to run again: at the earlier time, by command if any of them was one.
local function run_again(job, due, why)
  job.rerun_due = math.min(job.rerun_due or due, due)
  if job.rerun_why ~= 'command' then job.rerun_why = why end
end

local function write(job)
  redis.call('HSET', job_key(job.id), 'state', job.state, 'due', job.due, 'attempts', job.attempts,
    'snoozes', job.snoozes, 'rescues', job.rescues, 'claim', job.claim, 'epoch', job.epoch,
    'lease_until', job.lease_until, 'last_error', job.last_error, 'rerun_due', job.rerun_due or '',
    'rerun_why', job.rerun_why)
end

local function forget(job)
  redis.call('DEL', job_key(job.id))
  -- Where the index was lost, another job may stand under the key by now.
  if redis.call('HGET', KEYS_TO_IDS, job.key) == job.id then redis.call('HDEL', KEYS_TO_IDS, job.key) end
  redis.call('ZREM', ALL, job.id)
end

-- A bell keeps a few strokes for workers that come a moment later, and no more: one that nobody hears must not grow.
-- It is a hint, and everything else is done by now: one that cannot be rung makes nothing of that undone, or look so.
local function ring()
  for kind, strokes in pairs(bells) do
    for _ = 1, math.min(strokes, BELLS_MOST) do redis.pcall('RPUSH', bell_key(kind), '1') end
    redis.pcall('LTRIM', bell_key(kind), -BELLS_MOST, -1)
  end
end

-- Everything is checked before anything is changed: Redis does not take back what a script did before it failed.
local function check_batch(first, width, numbers)
  local given = #ARGV - first + 1
  if given % width ~= 0 or given / width > BATCH_MOST then return redis.error_reply('VIP a batch of another shape') end
  for at = first, #ARGV, width do
    for _, number in ipairs(numbers) do
      if not tonumber(ARGV[at + number]) then return redis.error_reply('VIP a number is none') end
    end
  end
  return nil
end
