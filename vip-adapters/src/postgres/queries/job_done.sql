-- Ends leases of jobs that are done for good: the usual end, in the fewest steps, without a lock before the change. What was asked for
-- again while it ran, and what is not held under this lease, is not in the answer; the statement for all ends looks at it next.
-- Each row that somebody else holds is waited for no longer than a commit takes. Then nothing is done here, and the statement for all
-- ends passes over it. The setting ends with this transaction.
-- The answer is a number, and the jobs alone if it is not that of all.
WITH briefly AS MATERIALIZED (SELECT set_config('lock_timeout', '20ms', true)),
gone AS (
    DELETE FROM vip.jobs AS job
    USING briefly, unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS said(id, epoch, claim)
    -- `= ANY (ARRAY[...])` can only be answered by one look into the index for each: a plan made while there were few jobs, and kept, would
    -- walk through all of them when there are many.
    WHERE job.id = ANY (ARRAY[said.id])
    AND job.state = 1
    AND job.epoch = said.epoch -- guard: epoch
    AND job.claim = said.claim -- guard: claim
    AND job.rerun_due IS NULL -- guard: rerun
    RETURNING job.id
)
SELECT count(*) AS number, CASE WHEN count(*) < cardinality($1::uuid[]) THEN array_agg(gone.id) END AS ids
FROM gone
