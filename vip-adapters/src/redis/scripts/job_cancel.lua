-- Removes a job that is waiting or dead. Arguments: now, key.
local id = redis.call('HGET', KEYS_TO_IDS, ARGV[2])
local job = id and read(id)
local free = job ~= nil and job ~= false
free = free and job.state ~= 'leased' -- guard: leased
if not free then return 0 end
if job.state == 'dead' then leave_the_dead(job) end
end_lease(job)
redis.call('ZREM', due_key(job.kind), id)
forget(job)
return 1
