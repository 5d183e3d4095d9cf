-- Late by more than $2; or further ahead than anything is put off, $4: the clock was ahead when that was written. Two ranges of one
-- index: by OR all that waits would be walked through.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint) AS now
)
SELECT id, tenant, wake_at
FROM (
    (
        SELECT id, tenant, wake_at
        FROM vip.servers
        WHERE wake_at < (SELECT now FROM clock) - $2
          AND state NOT IN ('failed', 'deleted')
        ORDER BY wake_at, id
        LIMIT $3
    )
    UNION ALL
    (
        SELECT id, tenant, wake_at
        FROM vip.servers
        WHERE wake_at > (SELECT now FROM clock) + $4
          AND state NOT IN ('failed', 'deleted')
        ORDER BY wake_at, id
        LIMIT $3
    )
) AS stalled
ORDER BY wake_at, id
LIMIT $3
