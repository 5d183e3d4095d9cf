-- Failed for good, unless a command came while it ran.
UPDATE vip_jobs
SET
    state = iif(rerun_why IS 'command', 'waiting', 'dead'),
    due = iif(rerun_why IS 'command', rerun_due, due),
    attempts = iif(rerun_why IS 'command', 0, attempts),
    rescues = iif(rerun_why IS 'command', 0, rescues),
    last_error = ?4,
    claim = NULL, lease_until = NULL, rerun_due = NULL, rerun_why = NULL
WHERE id = ?1
  AND state = 'leased'
  AND epoch = ?2 -- guard: epoch
  AND claim = ?3 -- guard: claim
RETURNING state
