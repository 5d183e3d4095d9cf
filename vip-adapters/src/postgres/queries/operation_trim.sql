DELETE FROM vip.operations
WHERE id IN (
    SELECT operations.id
    FROM vip.servers
    JOIN vip.operations ON operations.server = servers.id
    WHERE NOT servers.trimmed
      AND servers.gone_at IS NOT NULL
      AND servers.state IN ('failed', 'deleted')
      AND servers.gone_at <= $1 -- guard: retention
    LIMIT $2
)
