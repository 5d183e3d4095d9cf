DELETE FROM vip.keys
WHERE (tenant, key) IN (
    SELECT keys.tenant, keys.key
    FROM vip.servers
    JOIN vip.keys ON keys.server = servers.id
    WHERE NOT servers.trimmed
      AND servers.gone_at IS NOT NULL
      AND servers.state IN ('failed', 'deleted')
      AND servers.gone_at <= $1 -- guard: retention
    LIMIT $2
)
