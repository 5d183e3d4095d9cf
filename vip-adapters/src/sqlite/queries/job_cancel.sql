DELETE FROM vip_jobs
WHERE key = ?1
  AND state <> 'leased' -- guard: leased
