DELETE FROM vip.jobs
WHERE key = $1
  AND state <> 1 -- guard: leased
