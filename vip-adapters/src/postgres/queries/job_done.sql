-- Ends leases of jobs that are done for good: the usual end, in the fewest steps. What was asked for again while it ran, and
-- what is not held under this lease, is not in the answer; the statement for all ends looks at it next.
-- `= ANY (ARRAY[...])` can only be answered by one look into the index for each: a plan made while there were few jobs, and kept, would
-- walk through all of them when there are many.
-- Sent in the order of the ids, and the plans of these connections keep it: heartbeats and enqueues lock rows in the same order.
DELETE FROM vip.jobs AS job
USING unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS said(id, epoch, claim)
WHERE job.id = ANY (ARRAY[said.id])
  AND job.state = 1
  AND job.epoch = said.epoch -- guard: epoch
  AND job.claim = said.claim -- guard: claim
  AND job.rerun_due IS NULL -- guard: rerun
RETURNING job.id
