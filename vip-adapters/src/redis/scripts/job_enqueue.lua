-- Adds jobs, or merges each into what stands under its key: all or none.
-- Arguments: now, then for each job: id, key, kind, payload, tenant, request id, delay, why, max attempts,
-- trace parent.
local WIDTH = 10
local wrong = check_batch(2, WIDTH, { 6, 8 })
if wrong then return wrong end

local function insert(at, due)
  local id, key, kind, payload, tenant, request_id, _, _, max_attempts, trace_parent = unpack(ARGV, at, at + WIDTH - 1)
  redis.call('HSET', KEYS_TO_IDS, key, id)
  redis.call('HSET', job_key(id), 'key', key, 'kind', kind, 'payload', payload, 'tenant', tenant,
    'request_id', request_id, 'trace_parent', trace_parent, 'max_attempts', max_attempts)
  redis.call('ZADD', ALL, 0, id)
  redis.call('SADD', KINDS, kind)
  local job = {
    id = id, key = key, kind = kind, due = due, attempts = 0, snoozes = 0, rescues = 0, epoch = 0, last_error = '',
  }
  wait(job)
  write(job)
  return 'inserted'
end

local function enqueue(at)
  local key, kind, payload, why = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 7]
  local due = now + tonumber(ARGV[at + 6])
  local id = redis.call('HGET', KEYS_TO_IDS, key)
  local job = id and read(id)
  if not job then
    id = ARGV[at]
    local taken = false
    taken = taken or redis.call('EXISTS', job_key(id)) == 1 -- guard: id
    if not taken then return insert(at, due) end
    job = read(id)
    if not job or job.key ~= key then return 'conflict' end
    -- It is this very job, and the index has lost its key.
    redis.call('HSET', KEYS_TO_IDS, key, id)
  end
  local same = true
  same = same and job.kind == kind -- guard: kind
  same = same and redis.call('HGET', job_key(id), 'payload') == payload -- guard: payload
  if not same then return 'conflict' end
  index(job)
  if job.state == 'waiting' then
    due = math.min(due, job.due) -- guard: earlier
    job.due = due
    wait(job)
    write(job)
    return 'merged'
  end
  if job.state == 'leased' then
    run_again(job, due, why)
    write(job)
    return 'will_run_again'
  end
  local revived = true
  revived = revived and why == 'command' -- guard: why
  if not revived then return 'dead' end
  leave_the_dead(job)
  revive(job, due)
  write(job)
  return 'revived'
end

local answers = {}
for at = 2, #ARGV, WIDTH do answers[#answers + 1] = enqueue(at) end
ring()
return answers
