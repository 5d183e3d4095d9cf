-- CROSS JOIN keeps the order of the loops: from the few records that ended and are not trimmed to their operations.
DELETE FROM vip_operations
WHERE id IN (
    SELECT vip_operations.id
    FROM vip_servers
    CROSS JOIN vip_operations ON vip_operations.server = vip_servers.id
    WHERE vip_servers.trimmed = 0
      -- Whoever repeats a command is answered the operation that its key names.
      AND vip_servers.keyed = 0
      AND vip_servers.gone_at IS NOT NULL
      AND vip_servers.state IN ('failed', 'deleted')
      AND vip_servers.gone_at <= ?1 -- guard: retention
    LIMIT ?2
)
