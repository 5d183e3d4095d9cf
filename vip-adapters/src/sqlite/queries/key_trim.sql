-- CROSS JOIN keeps the order of the loops: from the records to their keys.
DELETE FROM vip_keys
WHERE (tenant, key) IN (
    SELECT vip_keys.tenant, vip_keys.key
    FROM json_each(?1) AS ended
    CROSS JOIN vip_keys ON vip_keys.server = ended.value
    LIMIT ?2
)
