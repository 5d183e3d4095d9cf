UPDATE vip_jobs
SET state = 'waiting', due = ?2, attempts = 0, snoozes = 0, rescues = 0
WHERE id = ?1
  AND state = 'dead' -- guard: dead
