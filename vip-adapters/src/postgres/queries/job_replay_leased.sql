UPDATE vip.jobs
SET rerun_due = $2, rerun_why = 2
WHERE id = $1
  AND state = 1
  AND rerun_due IS NULL -- guard: rerun
