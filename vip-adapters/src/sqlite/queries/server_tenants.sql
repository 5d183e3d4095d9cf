SELECT DISTINCT tenant
FROM vip_servers
WHERE tenant > ?1
ORDER BY tenant
LIMIT ?2
