-- Starts a dead job over, or lets a leased one run once more. Arguments: now, id.
local job = read(ARGV[2])
if not job or job.state == 'waiting' then return 0 end
if job.state == 'leased' then
  local marked = false
  marked = marked or job.rerun_why ~= '' -- guard: marked
  if marked then return 0 end
  run_again(job, now, 'command')
else
  leave_the_dead(job)
  job.snoozes = 0
  revive(job, now)
end
write(job)
ring()
return 1
