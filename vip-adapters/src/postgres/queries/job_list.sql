-- Those that wait. For the others, of whom there are few, see `job_list_dead.sql` and `job_list_leased.sql`.
SELECT
    id, key, kind, payload, tenant, request_id, trace_parent, state, due, attempts, snoozes, rescues, max_attempts,
    claim, epoch, lease_until, last_error
FROM vip.jobs
WHERE state = 0
  AND ($1::uuid IS NULL OR id > $1)
ORDER BY id
LIMIT $2
