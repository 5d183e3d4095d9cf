DELETE FROM vip_operations
WHERE id IN (
    SELECT vip_operations.id
    FROM vip_servers
    JOIN vip_operations ON vip_operations.server = vip_servers.id
    WHERE vip_servers.state IN ('failed', 'deleted')
      AND vip_servers.gone_at <= ?1 -- guard: retention
    LIMIT ?2
)
