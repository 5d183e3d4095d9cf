-- Late, before ?1; or further ahead than anything is put off, after ?3: the clock was ahead when that was written. Two ranges of one
-- index: by OR all that waits would be walked through.
SELECT id, tenant, wake_at
FROM (
    SELECT id, tenant, wake_at
    FROM vip_servers
    -- Named although `<` implies it: the partial index is used only if its condition stands here.
    WHERE wake_at IS NOT NULL
      AND wake_at < ?1
      AND state NOT IN ('failed', 'deleted')
    UNION ALL
    SELECT id, tenant, wake_at
    FROM vip_servers
    WHERE wake_at IS NOT NULL
      AND wake_at > ?3
      AND state NOT IN ('failed', 'deleted')
)
ORDER BY wake_at, id
LIMIT ?2
