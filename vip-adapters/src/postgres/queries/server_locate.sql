SELECT id, tenant, state, desired, account, provider_id, removing_id, provider_name, create_hash,
    -- A create is announced or may still land: something may be there that is not recorded yet.
    (body ->> 'intent' IS NOT NULL OR body ->> 'land' <> '{}') AS open
FROM vip.servers
WHERE id = ANY ($1)
ORDER BY id
