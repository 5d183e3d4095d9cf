-- One statement, so that versions and records are of one snapshot; a version without a record stays visible (LEFT).
SELECT servers.id, servers.version AS present, audit.version AS recorded, count(audit.position) AS records
FROM vip.servers
LEFT JOIN vip.audit ON audit.server = servers.id
WHERE servers.tenant = $1
GROUP BY servers.id, audit.version
