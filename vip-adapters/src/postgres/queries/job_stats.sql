-- Counts stop at $3, so that a look at a backlog of millions costs no more than one at a small queue. Each looks at its own part
-- of the index alone, kind by kind and in its order: the dead, who are kept until somebody cares, are in nobody's way.
WITH RECURSIVE known(kind) AS (
    -- From kind to kind by the index: there are few kinds and many jobs.
    (SELECT kind FROM vip.jobs WHERE kind > '' ORDER BY kind LIMIT 1)
    UNION ALL
    SELECT (SELECT kind FROM vip.jobs WHERE kind > '' AND kind > known.kind ORDER BY kind LIMIT 1) FROM known WHERE known.kind IS NOT NULL
),
wanted AS MATERIALIZED (
    -- No kind named means all of them.
    SELECT kind FROM known WHERE kind IS NOT NULL AND (cardinality($2::text[]) = 0 OR kind = ANY ($2))
),
clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint) AS now
)
SELECT clock.now,
    (
        SELECT count(*) FROM (
            SELECT FROM wanted CROSS JOIN LATERAL (
                SELECT FROM vip.jobs WHERE kind > '' AND kind = wanted.kind AND ready_at <= clock.now AND state = 0 ORDER BY ready_at, id LIMIT $3
            ) AS found LIMIT $3
        ) AS counted
    ) AS due,
    (
        SELECT count(*) FROM (
            SELECT FROM wanted CROSS JOIN LATERAL (
                SELECT FROM vip.jobs
                -- Behind these stand the dead.
                WHERE kind > '' AND kind = wanted.kind AND ready_at > clock.now AND ready_at < 9223372036854775807 AND state = 0
                ORDER BY ready_at, id
                LIMIT $3
            ) AS found LIMIT $3
        ) AS counted
    ) AS later,
    (
        SELECT count(*) FROM (
            SELECT FROM vip.leases CROSS JOIN LATERAL unnest(leases.jobs) AS held(id)
            CROSS JOIN LATERAL (
                SELECT kind FROM vip.jobs WHERE id = held.id AND state = 1 AND claim = leases.claim LIMIT 1
            ) AS job
            JOIN wanted ON wanted.kind = job.kind
            LIMIT $3
        ) AS counted
    ) AS leased,
    (
        SELECT count(*) FROM (
            SELECT FROM wanted CROSS JOIN LATERAL (
                SELECT FROM vip.jobs WHERE kind > '' AND kind = wanted.kind AND ready_at = 9223372036854775807 ORDER BY id LIMIT $3
            ) AS found LIMIT $3
        ) AS counted
    ) AS dead,
    (
        SELECT min(first.due) FROM wanted CROSS JOIN LATERAL (
            SELECT due FROM vip.jobs WHERE kind > '' AND kind = wanted.kind AND ready_at <= clock.now AND state = 0 ORDER BY ready_at, id LIMIT 1
        ) AS first
    ) AS oldest_due
FROM clock
