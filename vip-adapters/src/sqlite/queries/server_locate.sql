SELECT id, tenant, state, desired, account, provider_id, removing_id, provider_name, create_hash,
    -- A create is announced or may still land: something may be there that is not recorded yet.
    -- Of a damaged record nobody knows.
    coalesce(CASE WHEN json_valid(body) THEN body ->> '$.intent' IS NOT NULL OR body ->> '$.land' <> '{}' END, true) AS open
FROM vip_servers
WHERE id IN (SELECT value FROM json_each(?1))
ORDER BY id
