-- Burns an attempt. The last one kills, unless a command came while it ran: then it starts afresh.
UPDATE vip_jobs
SET
    state = iif(attempts + 1 < max_attempts OR rerun_why IS 'command', 'waiting', 'dead'),
    due = CASE
        WHEN attempts + 1 >= max_attempts AND rerun_why IS 'command' THEN rerun_due
        ELSE min(coalesce(rerun_due, ?4), ?4)
    END,
    attempts = iif(attempts + 1 >= max_attempts AND rerun_why IS 'command', 0, attempts + 1),
    rescues = iif(attempts + 1 >= max_attempts AND rerun_why IS 'command', 0, rescues),
    last_error = ?5,
    claim = NULL, lease_until = NULL, rerun_due = NULL, rerun_why = NULL
WHERE id = ?1
  AND state = 'leased'
  AND epoch = ?2 -- guard: epoch
  AND claim = ?3 -- guard: claim
RETURNING state
