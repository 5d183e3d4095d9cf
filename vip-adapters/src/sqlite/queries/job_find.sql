SELECT
    id, key, kind, payload, tenant, request_id, trace_parent, state, due, attempts, snoozes, rescues, max_attempts,
    claim, epoch, lease_until, last_error
FROM vip_jobs
WHERE key = ?1
