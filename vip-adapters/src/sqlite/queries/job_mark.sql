-- A leased key is marked to run again; the mark outlives whatever ends the lease. A command beats a wake.
UPDATE vip_jobs
SET
    rerun_due = min(coalesce(rerun_due, ?4), ?4),
    rerun_why = iif(rerun_why = 'command', 'command', ?5)
WHERE key = ?1
  AND state = 'leased'
  AND kind = ?2 AND payload = ?3 -- guard: payload
