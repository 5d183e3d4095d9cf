-- One statement is one snapshot: record, sightings and accounts belong together without a read transaction, which a
-- dropped future could leave open.
SELECT body, stamp, version, holder, holder_epoch,
    (
        SELECT json_group_array(json_object(
            'key', json_object('account', seen.account, 'id', seen.provider_id), 'server', seen.server,
            'class', seen.class, 'first_seen', seen.first_seen, 'last_seen', seen.last_seen, 'count', seen.count,
            'ripe', json(iif(seen.ripe, 'true', 'false'))
        ))
        FROM vip_sightings AS seen
        WHERE seen.server = vip_servers.id
    ) AS sightings,
    -- As texts: each is read by itself, and one that is damaged fails nothing here.
    (SELECT json_group_array(json_object('id', known.id, 'body', known.body)) FROM vip_accounts AS known) AS accounts
FROM vip_servers
WHERE id = ?1
  AND tenant = ?2 -- guard: tenant
