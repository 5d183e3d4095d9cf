-- A waiting key moves earlier, never later.
UPDATE vip_jobs
SET due = min(due, ?4)
WHERE key = ?1
  AND state = 'waiting'
  AND kind = ?2 AND payload = ?3 -- guard: payload
