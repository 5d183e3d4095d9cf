-- Ends leases. verdict: 0 done, 1 retry, 2 snooze, 3 release, 4 dead. What was enqueued again between the snapshot of this
-- statement and the lock on the row fits neither part; it is sent once more, with a fresh snapshot.
WITH clock AS MATERIALIZED (
    SELECT coalesce($6::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
),
-- All rows are locked before one is changed. Rows that others hold are passed over; where they are waited for, the last two
-- words of the lock are taken away. Then the order counts in which they are sent, that is by their ids: enqueues lock in the
-- same one, so that none of them ever waits in a circle. By ANY as in `job_done.sql`: never by a walk through all jobs.
said AS MATERIALIZED (
    SELECT said.id, said.verdict, said.code, clock.now, clock.now + said.delay AS then
    FROM clock
    CROSS JOIN unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::smallint[], $5::bigint[], $7::text[])
        WITH ORDINALITY AS said(id, epoch, claim, verdict, delay, code, place)
    JOIN vip.jobs AS job ON job.id = ANY (ARRAY[said.id])
    WHERE job.state = 1
      AND job.epoch = said.epoch -- guard: epoch
      AND job.claim = said.claim -- guard: claim
    ORDER BY said.place
    FOR NO KEY UPDATE OF job SKIP LOCKED
),
-- Done for good. A mark to run again keeps the row.
ended AS (
    DELETE FROM vip.jobs AS job
    USING said
    WHERE said.verdict = 0
      AND job.id = ANY (ARRAY[said.id])
      AND job.rerun_due IS NULL -- guard: rerun
    RETURNING said.id
),
-- The others go on waiting, or die; the last attempt and a bad end kill, unless a command came while it ran.
moved AS (
    UPDATE vip.jobs AS job
    SET
        state = CASE
            WHEN job.rerun_why IS NOT DISTINCT FROM 2 THEN 0
            WHEN said.verdict = 4 OR (said.verdict = 1 AND job.attempts + 1 >= job.max_attempts) THEN 2
            ELSE 0
        END,
        due = CASE
            WHEN said.verdict = 0 THEN job.rerun_due
            WHEN said.verdict = 3 THEN said.now
            WHEN said.verdict = 4 AND job.rerun_why IS NOT DISTINCT FROM 2 THEN job.rerun_due
            WHEN said.verdict = 4 THEN job.due
            WHEN said.verdict = 1 AND job.attempts + 1 >= job.max_attempts AND job.rerun_why IS NOT DISTINCT FROM 2
                THEN job.rerun_due
            ELSE least(job.rerun_due, said.then)
        END,
        attempts = CASE
            WHEN said.verdict = 0 THEN 0
            WHEN said.verdict = 4 AND job.rerun_why IS NOT DISTINCT FROM 2 THEN 0
            WHEN said.verdict = 1 AND job.attempts + 1 >= job.max_attempts AND job.rerun_why IS NOT DISTINCT FROM 2 THEN 0
            WHEN said.verdict = 1 THEN job.attempts + 1
            ELSE job.attempts
        END,
        snoozes = job.snoozes + (said.verdict = 2)::integer,
        -- A run that ended by itself forgets the workers that were lost before it.
        rescues = CASE
            WHEN said.verdict IN (0, 2) THEN 0
            WHEN said.verdict = 4 AND job.rerun_why IS NOT DISTINCT FROM 2 THEN 0
            WHEN said.verdict = 1 AND job.attempts + 1 >= job.max_attempts AND job.rerun_why IS NOT DISTINCT FROM 2 THEN 0
            ELSE job.rescues
        END,
        last_error = CASE WHEN said.verdict IN (1, 4) THEN said.code ELSE job.last_error END,
        claim = NULL, lease_until = NULL, rerun_due = NULL, rerun_why = NULL
    FROM said
    WHERE job.id = ANY (ARRAY[said.id])
      AND (said.verdict <> 0 OR job.rerun_due IS NOT NULL)
    RETURNING said.id, job.state
)
SELECT id, NULL::smallint AS state FROM ended
UNION ALL
SELECT id, state FROM moved
