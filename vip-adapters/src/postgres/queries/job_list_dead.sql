-- The dead of each kind stand together at the end of its part of the index: who waits is in nobody's way.
WITH RECURSIVE known(kind) AS (
    (SELECT kind FROM vip.jobs WHERE kind > '' ORDER BY kind LIMIT 1)
    UNION ALL
    SELECT (SELECT kind FROM vip.jobs WHERE kind > '' AND kind > known.kind ORDER BY kind LIMIT 1) FROM known WHERE known.kind IS NOT NULL
)
SELECT
    dead.id, dead.key, dead.kind, dead.payload, dead.tenant, dead.request_id, dead.trace_parent, dead.state, dead.due,
    dead.attempts, dead.snoozes, dead.rescues, dead.max_attempts, dead.claim, dead.epoch, dead.lease_until, dead.last_error
FROM known
CROSS JOIN LATERAL (
    SELECT *
    FROM vip.jobs
    WHERE kind > ''
      AND kind = known.kind
      AND ready_at = 9223372036854775807
      -- Behind $1, if there is one; said so that the index begins there.
      AND id >= coalesce($1::uuid, '00000000-0000-0000-0000-000000000000')
      AND id IS DISTINCT FROM $1
    ORDER BY id
    LIMIT $2
) AS dead
ORDER BY dead.id
LIMIT $2
