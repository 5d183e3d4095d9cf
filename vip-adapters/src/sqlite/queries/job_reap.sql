-- Counts a rescue; beyond the bound the job is dead, unless a command came while it was leased. Beyond ?5 no lease ends that was
-- granted by the present clock: it was ahead, and nobody is to wait until it is there again.
UPDATE vip_jobs
SET
    state = iif(rescues + 1 <= ?2 OR rerun_why IS 'command', 'waiting', 'dead'),
    due = ?1,
    attempts = iif(rescues + 1 > ?2 AND rerun_why IS 'command', 0, attempts),
    rescues = iif(rescues + 1 > ?2 AND rerun_why IS 'command', 0, rescues + 1),
    last_error = iif(rescues + 1 > ?2, ?4, last_error),
    claim = NULL, lease_until = NULL, rerun_due = NULL, rerun_why = NULL
WHERE id IN (
    SELECT id
    FROM vip_jobs
    WHERE state = 'leased'
      AND (lease_until <= ?1 OR lease_until > ?5) -- guard: expiry
    ORDER BY lease_until, id
    LIMIT ?3
)
