SELECT id, tenant, state, desired, account, provider_id, removing_id, provider_name, create_hash
FROM vip_servers
WHERE id IN (SELECT value FROM json_each(?1))
ORDER BY id
