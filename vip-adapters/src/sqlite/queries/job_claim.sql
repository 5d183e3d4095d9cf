-- Every claimed job gets an epoch of its own, above all earlier ones and above the clock: it rises even if this file
-- is lost and a new one begins at zero.
UPDATE vip_jobs
SET
    state = 'leased',
    epoch = (SELECT max(last + 1, ?1) FROM vip_epochs) + chosen.place - 1,
    claim = ?4,
    lease_until = ?5
FROM (
    SELECT first.id, row_number() OVER (ORDER BY first.due, first.id) AS place
    FROM (
        SELECT id, due
        FROM vip_jobs
        WHERE state = 'waiting'
          AND due <= ?1 -- guard: due
          AND kind IN (SELECT value FROM json_each(?2)) -- guard: kind
        ORDER BY due, id
        LIMIT ?3
    ) AS first
) AS chosen
WHERE vip_jobs.id = chosen.id
RETURNING
    vip_jobs.id, key, kind, payload, tenant, request_id, trace_parent, state, due, attempts, snoozes, rescues,
    max_attempts, claim, epoch, lease_until, last_error
