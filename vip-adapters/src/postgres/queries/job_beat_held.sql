-- Says which leases are still ours after their claims were put off: nobody can rescue these any more, and whoever did it before
-- is seen here. A row that is free by now is told, too, also if the end that stands in it has passed.
WITH clock AS MATERIALIZED (
    SELECT coalesce($5::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
),
-- By ANY as in `job_done.sql`: never by a walk through all jobs.
ours AS MATERIALIZED (
    SELECT job.id, job.epoch, job.claim
    FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS said(id, epoch, claim)
    JOIN vip.jobs AS job ON job.id = ANY (ARRAY[said.id])
    WHERE job.state = 1 AND job.epoch = said.epoch AND job.claim = said.claim
),
free AS MATERIALIZED (
    SELECT job.id
    FROM ours
    JOIN vip.jobs AS job ON job.id = ANY (ARRAY[ours.id])
    WHERE job.state = 1 AND job.epoch = ours.epoch AND job.claim = ours.claim
    FOR NO KEY UPDATE OF job SKIP LOCKED
),
told AS (
    UPDATE vip.jobs AS job
    SET lease_until = greatest(job.lease_until, clock.now + $4)
    FROM clock CROSS JOIN free
    WHERE job.id = ANY (ARRAY[free.id])
)
SELECT id, epoch, claim FROM ours
