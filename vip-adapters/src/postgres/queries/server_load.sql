-- One statement is one snapshot: record, sightings and accounts belong together. The time is that of the statement's
-- arrival, before its snapshot: a time that is too early makes a decision wait, one too late could make it act.
SELECT servers.body::text AS body, stamp, version, holder, holder_epoch,
    coalesce($3::bigint, (extract(epoch FROM statement_timestamp()) * 1000000)::bigint) AS now,
    (
        SELECT coalesce(json_agg(json_build_object(
            'key', json_build_object('account', seen.account, 'id', seen.provider_id), 'server', seen.server,
            'class', seen.class, 'first_seen', seen.first_seen, 'last_seen', seen.last_seen, 'count', seen.count,
            'ripe', seen.ripe
        )), '[]')::text
        FROM vip.sightings AS seen
        WHERE seen.server = servers.id
    ) AS sightings,
    -- As texts: each is read by itself.
    (
        SELECT coalesce(json_agg(json_build_object('id', known.id, 'body', known.body::text)), '[]')::text
        FROM vip.accounts AS known
    ) AS accounts
FROM vip.servers
WHERE id = $1
  AND tenant = $2 -- guard: tenant
