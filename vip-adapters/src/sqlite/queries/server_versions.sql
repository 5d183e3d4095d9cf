-- One statement, so that versions and records are of one snapshot; a version without a record stays visible (LEFT).
SELECT vip_servers.id, vip_servers.version AS present, vip_audit.version AS recorded, count(vip_audit.position) AS records
FROM vip_servers
LEFT JOIN vip_audit ON vip_audit.server = vip_servers.id
WHERE vip_servers.tenant = ?1
GROUP BY vip_servers.id, vip_audit.version
