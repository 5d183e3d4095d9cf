-- Many orders in one statement over the tables of the product: what a hand could write without asking any question.
WITH fresh AS MATERIALIZED (
    SELECT server, operation, job, change, tenant, place, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now
    FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[]) WITH ORDINALITY
        AS fresh(server, operation, job, change, tenant, place)
),
servers AS (
    INSERT INTO vip.servers (
        id, tenant, state, desired, stamp, quota_held, body, version, holder_epoch, provider_name, create_hash, created_at
    )
    SELECT server, tenant, 'requested', 'present', change, true, $6::text::json, 1, 0, server::text, $7, now FROM fresh
),
operations AS (
    INSERT INTO vip.operations (id, tenant, server, verb, status, created_at, updated_at)
    SELECT operation, tenant, server, 'create', 'pending', now, now FROM fresh
),
keys AS (
    INSERT INTO vip.keys (tenant, key, fingerprint, operation, server)
    SELECT tenant, operation::text, $8, operation, server FROM fresh ON CONFLICT DO NOTHING
),
quotas AS (
    INSERT INTO vip.quotas AS quota (tenant, used) SELECT tenant, count(*) FROM fresh GROUP BY tenant
    ON CONFLICT (tenant) DO UPDATE SET used = quota.used + excluded.used
),
jobs AS (
    INSERT INTO vip.jobs (id, key, kind, payload, tenant, due, max_attempts, why)
    SELECT job, 'server:' || server::text, 'vip.server', $9, tenant, now, 25, 2 FROM fresh
    ON CONFLICT (key) DO NOTHING
)
INSERT INTO vip.audit (change_id, tenant, server, version, at, body)
SELECT change, tenant, server, 1, now, $10 FROM fresh
