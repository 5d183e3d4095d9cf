-- Done, and marked to run again: a fresh run.
UPDATE vip_jobs
SET state = 'waiting', due = rerun_due, attempts = 0, rescues = 0, claim = NULL, lease_until = NULL, rerun_due = NULL, rerun_why = NULL
WHERE id = ?1
  AND state = 'leased'
  AND epoch = ?2 -- guard: epoch
  AND claim = ?3 -- guard: claim
  AND rerun_due IS NOT NULL
RETURNING state
