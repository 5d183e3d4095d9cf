SELECT
    id, key, kind, payload, tenant, request_id, trace_parent, state, due, attempts, snoozes, rescues, max_attempts,
    claim, epoch, lease_until, last_error
FROM vip.jobs
WHERE state = $1
  AND ($2::uuid IS NULL OR id > $2)
ORDER BY id
LIMIT $3
