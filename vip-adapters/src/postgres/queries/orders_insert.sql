-- Many new servers with all that belongs to them. A unique key that is taken is an error; then nothing of it is committed. What
-- a tenant orders whose quota does not take all of it, or has no counter yet, is left out. Those orders are tried one by one.
-- What a tenant orders whose counter somebody else holds is left out, too, and told as held.
WITH fresh AS MATERIALIZED (
    SELECT *
    FROM unnest(
        $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::boolean[], $8::text[], $9::text[], $10::text[],
        $11::uuid[], $12::text[], $13::text[], $14::text[],
        $15::text[], $16::text[],
        $17::uuid[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[], $23::bigint[], $24::integer[], $25::smallint[],
        $26::text[], $27::boolean[], $28::bigint[], $29::text[]
    ) AS fresh(
        id, tenant, state, desired, stamp, quota_held, body, provider_name, create_hash,
        operation, verb, status, request_id,
        key, fingerprint,
        job, job_key, job_kind, job_payload, job_tenant, job_request_id, job_delay, job_max_attempts, job_why,
        audit_body, takes, most, job_trace_parent
    )
),
-- Locked before anything is counted, in the order of the tenants, so that two of these never wait in a circle. By ANY as in
-- `job_done.sql`: never by a walk through the counters of all tenants.
counters AS MATERIALIZED (
    SELECT quota.tenant, wanted.places, wanted.most
    FROM (SELECT tenant, count(*) AS places, min(most) AS most FROM fresh WHERE takes GROUP BY tenant) AS wanted
    JOIN vip.quotas AS quota ON quota.tenant = ANY (ARRAY[wanted.tenant])
    ORDER BY wanted.tenant COLLATE "C"
    FOR NO KEY UPDATE OF quota SKIP LOCKED
),
taken AS (
    UPDATE vip.quotas AS quota
    SET used = quota.used + counters.places
    FROM counters
    WHERE quota.tenant = ANY (ARRAY[counters.tenant])
      AND (counters.most IS NULL OR quota.used + counters.places <= counters.most) -- guard: quota
    RETURNING quota.tenant
),
fit AS MATERIALIZED (
    SELECT * FROM fresh WHERE NOT takes OR tenant IN (SELECT tenant FROM taken)
),
servers AS (
    INSERT INTO vip.servers (
        id, tenant, state, desired, stamp, wake_at, quota_held, body, version, holder_epoch, provider_name, create_hash, created_at,
        keyed
    )
    SELECT
        id, tenant, state, desired, stamp, $1, quota_held, body::json, 1, 0, provider_name, create_hash, $1, key IS NOT NULL
    FROM fit
),
operations AS (
    INSERT INTO vip.operations (id, tenant, server, verb, status, request_id, created_at, updated_at)
    SELECT operation, tenant, id, verb, status, request_id, $1, $1 FROM fit
),
keys AS (
    INSERT INTO vip.keys (tenant, key, fingerprint, operation, server)
    SELECT tenant, key, fingerprint, operation, id FROM fit WHERE key IS NOT NULL
),
jobs AS (
    INSERT INTO vip.jobs (id, key, kind, payload, tenant, request_id, trace_parent, due, max_attempts, why)
    SELECT
        job, job_key, job_kind, job_payload, job_tenant, job_request_id, job_trace_parent, $1 + job_delay, job_max_attempts, job_why
    FROM fit
),
audit AS (
    INSERT INTO vip.audit (change_id, tenant, server, version, at, body) SELECT stamp, tenant, id, 1, $1, audit_body FROM fit
)
SELECT id, false AS held FROM fit
UNION ALL
-- There is a counter, and it was passed over.
SELECT id, true
FROM fresh
WHERE takes
  AND tenant NOT IN (SELECT tenant FROM counters)
  AND EXISTS (SELECT FROM vip.quotas AS quota WHERE quota.tenant = ANY (ARRAY[fresh.tenant]))
