-- Ends leases of jobs that are done for good: the usual end, in the fewest steps. What was asked for again while it ran, what
-- somebody else holds, and what is not held under this lease, is not in the answer; the statement for all ends looks at it next.
-- `= ANY (ARRAY[...])` can only be answered by one look into the index for each: a plan made while there were few jobs, and kept, would
-- walk through all of them when there are many.
DELETE FROM vip.jobs AS job
-- By the places of the rows, which are locked by then: no second way through an index.
WHERE job.ctid = ANY(ARRAY(
    SELECT free.ctid
    FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS said(id, epoch, claim)
    JOIN vip.jobs AS free ON free.id = ANY (ARRAY[said.id])
    WHERE free.state = 1
      AND free.epoch = said.epoch -- guard: epoch
      AND free.claim = said.claim -- guard: claim
      AND free.rerun_due IS NULL -- guard: rerun
    FOR UPDATE OF free SKIP LOCKED
))
RETURNING job.id
