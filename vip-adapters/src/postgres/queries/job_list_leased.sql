-- By the claims of one lease time, which say where the leased jobs are: who waits is in nobody's way.
SELECT
    id, key, kind, payload, tenant, request_id, trace_parent, state, due, attempts, snoozes, rescues, max_attempts,
    claim, epoch, lease_until, last_error
FROM vip.jobs
WHERE id = ANY (ARRAY(
        SELECT held.id FROM vip.leases CROSS JOIN LATERAL unnest(leases.jobs) AS held(id) WHERE $1::uuid IS NULL OR held.id > $1
    ))
  AND state = 1
ORDER BY id
LIMIT $2
