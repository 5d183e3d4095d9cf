-- Counts a rescue; beyond the bound the job is dead, unless a command came while it was leased. Claims whose earliest lease
-- has ended are looked at job by job: most were settled long ago, some were prolonged. By ANY as in `job_done.sql`: never by a walk
-- through all jobs. Beyond $6 no lease ends that was granted by the present clock: it was ahead, and nobody is to wait until it is
-- there again. Two ranges of one index, each read by itself.
WITH past AS MATERIALIZED (
    SELECT claim, jobs FROM vip.leases WHERE until <= $1 ORDER BY until LIMIT $5 FOR UPDATE SKIP LOCKED
),
ahead AS MATERIALIZED (
    SELECT claim, jobs FROM vip.leases WHERE until > $6 ORDER BY until LIMIT $5 FOR UPDATE SKIP LOCKED
),
expired AS MATERIALIZED (
    SELECT job.id
    FROM (SELECT claim, jobs FROM past UNION ALL SELECT claim, jobs FROM ahead) AS ended
    CROSS JOIN LATERAL unnest(ended.jobs) AS held(id)
    JOIN vip.jobs AS job ON job.id = ANY (ARRAY[held.id])
    WHERE job.state = 1
      AND job.claim = ended.claim
      AND (job.lease_until <= $1 OR job.lease_until > $6) -- guard: expiry
    ORDER BY job.lease_until, job.id
    LIMIT $3
    -- Never waits behind a settlement, which then is faster.
    FOR NO KEY UPDATE OF job SKIP LOCKED
)
UPDATE vip.jobs AS job
SET
    state = CASE WHEN job.rescues + 1 <= $2 OR job.rerun_why IS NOT DISTINCT FROM 2 THEN 0 ELSE 2 END,
    due = $1,
    attempts = CASE WHEN job.rescues + 1 > $2 AND job.rerun_why IS NOT DISTINCT FROM 2 THEN 0 ELSE job.attempts END,
    rescues = CASE WHEN job.rescues + 1 > $2 AND job.rerun_why IS NOT DISTINCT FROM 2 THEN 0 ELSE job.rescues + 1 END,
    last_error = CASE WHEN job.rescues + 1 > $2 THEN $4 ELSE job.last_error END,
    claim = NULL, lease_until = NULL, rerun_due = NULL, rerun_why = NULL
FROM expired
WHERE job.id = ANY (ARRAY[expired.id])
