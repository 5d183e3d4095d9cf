-- Jobs whose keys nobody has: the usual enqueue, in the fewest steps. Where one of them is there already nothing is done, and the
-- statement for all keys is next; so it is where somebody else brings a key or an id in this moment, which is an error here.
WITH clock AS MATERIALIZED (
    SELECT coalesce($9::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
    WHERE NOT EXISTS (SELECT FROM vip.jobs AS present WHERE present.key = ANY ($2::text[]))
)
INSERT INTO vip.jobs (id, key, kind, payload, tenant, request_id, trace_parent, due, max_attempts, why)
SELECT fresh.id, fresh.key, fresh.kind, fresh.payload, fresh.tenant, fresh.request_id, fresh.trace_parent, clock.now + fresh.delay,
    fresh.max_attempts, fresh.why
FROM clock
CROSS JOIN unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::integer[], $10::smallint[],
    $11::text[])
    AS fresh(id, key, kind, payload, tenant, request_id, delay, max_attempts, why, trace_parent)
-- As there: two batches lock in one order.
ORDER BY fresh.key
