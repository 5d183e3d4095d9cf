UPDATE vip_jobs
SET rerun_due = ?2, rerun_why = 'command'
WHERE id = ?1
  AND state = 'leased'
  AND rerun_due IS NULL -- guard: rerun
