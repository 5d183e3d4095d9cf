-- CROSS JOIN keeps the order of the loops: from the few records that ended and are not trimmed to their keys.
DELETE FROM vip_keys
WHERE (tenant, key) IN (
    SELECT vip_keys.tenant, vip_keys.key
    FROM vip_servers
    CROSS JOIN vip_keys ON vip_keys.server = vip_servers.id
    WHERE vip_servers.trimmed = 0
      AND vip_servers.gone_at IS NOT NULL
      AND vip_servers.state IN ('failed', 'deleted')
      AND vip_servers.gone_at <= ?1 -- guard: retention
    LIMIT ?2
)
