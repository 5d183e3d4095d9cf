-- Ends leases of jobs that are done for good: the usual end, in the fewest steps, without a lock before the change. What was asked for
-- again while it ran, and what is not held under this lease, is not in the answer; the statement for all ends looks at it next.
-- Each row that somebody else holds is waited for no longer than a commit takes. Then nothing is done here, and the statement for all
-- ends passes over it. The setting ends with this transaction.
-- The answer is a number, and the jobs alone if it is not that of all.
WITH briefly AS MATERIALIZED (SELECT set_config('lock_timeout', '20ms', true)),
gone AS (
    DELETE FROM vip.jobs AS job
    USING briefly, unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS said(id, epoch, claim)
    -- The first that does not come before it, in the order of the ids: only one index has that order. A server that counted the jobs
    -- when all were done believes that there is none, and would look for each id through the whole of the other index.
    CROSS JOIN LATERAL (
        SELECT near.ctid AS place, near.id FROM vip.jobs AS near WHERE near.id >= said.id ORDER BY near.id LIMIT 1
    ) AS found
    WHERE found.id = said.id
      AND job.ctid = found.place
      AND job.state = 1
      AND job.epoch = said.epoch -- guard: epoch
      AND job.claim = said.claim -- guard: claim
      AND job.rerun_due IS NULL -- guard: rerun
    RETURNING job.id
)
SELECT count(*) AS number, CASE WHEN count(*) < cardinality($1::uuid[]) THEN array_agg(gone.id) END AS ids
FROM gone
