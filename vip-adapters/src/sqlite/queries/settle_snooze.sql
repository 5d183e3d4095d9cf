UPDATE vip_jobs
SET state = 'waiting', due = min(coalesce(rerun_due, ?4), ?4), snoozes = snoozes + 1, rescues = 0, claim = NULL, lease_until = NULL, rerun_due = NULL, rerun_why = NULL
WHERE id = ?1
  AND state = 'leased'
  AND epoch = ?2 -- guard: epoch
  AND claim = ?3 -- guard: claim
RETURNING state
