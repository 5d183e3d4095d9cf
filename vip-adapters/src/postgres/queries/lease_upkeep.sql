-- Forgets claims under which nothing is held any more, and moves the others to the end of the earliest lease that is. In a
-- statement after the reap, which it has to see. By ANY as in `job_done.sql`: never by a walk through all jobs.
WITH past AS MATERIALIZED (
    SELECT ctid AS place, claim, jobs FROM vip.leases WHERE until <= $1 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED
),
-- As in `job_reap.sql`.
ahead AS MATERIALIZED (
    SELECT ctid AS place, claim, jobs FROM vip.leases WHERE until > $3 ORDER BY until LIMIT $2 FOR UPDATE SKIP LOCKED
),
ended AS MATERIALIZED (
    SELECT place, claim, jobs FROM past UNION ALL SELECT place, claim, jobs FROM ahead
),
held AS MATERIALIZED (
    SELECT ended.place, min(job.lease_until) AS until
    FROM ended
    LEFT JOIN LATERAL (
        SELECT job.lease_until
        FROM unnest(ended.jobs) AS listed(id)
        JOIN vip.jobs AS job ON job.id = ANY (ARRAY[listed.id]) AND job.state = 1 AND job.claim = ended.claim
    ) AS job ON true
    GROUP BY ended.place
),
forgotten AS (
    DELETE FROM vip.leases USING held WHERE leases.ctid = held.place AND held.until IS NULL
)
UPDATE vip.leases SET until = held.until FROM held WHERE leases.ctid = held.place AND held.until IS NOT NULL
