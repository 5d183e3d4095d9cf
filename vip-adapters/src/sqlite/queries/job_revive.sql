-- A dead key lives again by command; a wake does not fight whoever let it die.
UPDATE vip_jobs
SET state = 'waiting', due = ?4, attempts = 0, rescues = 0
WHERE key = ?1
  AND state = 'dead'
  AND kind = ?2 AND payload = ?3 -- guard: payload
  AND ?5 = 'command' -- guard: command
