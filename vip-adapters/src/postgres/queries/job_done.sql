-- Ends leases of jobs that are done for good: the usual end, in the fewest steps. What was asked for again while it ran, and
-- what is not held under this lease, is not in the answer; the statement for all other ends looks at it next.
-- Sent in the order of the ids, and the plans of these connections keep it: heartbeats and enqueues lock rows in the same order.
-- $4 whether finished jobs are kept, $5 the time or nothing for the server's own.
WITH ended AS (
    DELETE FROM vip.jobs AS job
    USING unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS said(id, epoch, claim)
    WHERE job.id = said.id
      AND job.state = 1
      AND job.epoch = said.epoch -- guard: epoch
      AND job.claim = said.claim -- guard: claim
      AND job.rerun_due IS NULL -- guard: rerun
    RETURNING job.id, job.key, job.kind, job.tenant, job.request_id, job.epoch, job.attempts, job.rescues
),
kept AS (
    INSERT INTO vip.jobs_finished (finished_at, id, epoch, attempts, rescues, key, kind, tenant, request_id)
    SELECT
        coalesce($5::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint),
        id, epoch, attempts, rescues, key, kind, tenant, request_id
    FROM ended
    WHERE $4
)
SELECT id FROM ended
