-- Done for good. A mark to run again keeps the row: the next statement makes it wait.
DELETE FROM vip_jobs
WHERE id = ?1
  AND state = 'leased'
  AND epoch = ?2 -- guard: epoch
  AND claim = ?3 -- guard: claim
  AND rerun_due IS NULL -- guard: rerun
