UPDATE vip.jobs
SET state = 0, due = $2, attempts = 0, snoozes = 0, rescues = 0
WHERE id = $1
  AND state = 2 -- guard: dead
