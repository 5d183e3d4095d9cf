-- Every way in which a key can be found is one statement, so that nothing can come in between. Jobs that are there come first,
-- in the order of their ids, in which settlements lock them, too; new ones follow in the order of their keys,
-- so that two batches lock in one order. A row that is not returned was refused; nothing of it was changed.
WITH clock AS MATERIALIZED (
    SELECT coalesce($9::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
)
INSERT INTO vip.jobs AS job (id, key, kind, payload, tenant, request_id, trace_parent, due, max_attempts, why)
SELECT fresh.id, fresh.key, fresh.kind, fresh.payload, fresh.tenant, fresh.request_id, fresh.trace_parent, clock.now + fresh.delay,
    fresh.max_attempts, fresh.why
FROM clock
CROSS JOIN unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::integer[], $10::smallint[],
    $11::text[])
    AS fresh(id, key, kind, payload, tenant, request_id, delay, max_attempts, why, trace_parent)
LEFT JOIN vip.jobs AS present ON present.key = ANY (ARRAY[fresh.key])
-- An id that belongs to another key is a conflict. By ANY as in `job_done.sql`: never by a walk through all jobs.
WHERE NOT EXISTS (SELECT FROM vip.jobs AS other WHERE other.id = ANY (ARRAY[fresh.id]) AND other.key <> fresh.key) -- guard: id
ORDER BY present.id NULLS LAST, fresh.key
ON CONFLICT (key) DO UPDATE SET
    -- A waiting key moves earlier, never later; a dead one lives again.
    state = CASE job.state WHEN 2 THEN 0 ELSE job.state END,
    due = CASE job.state WHEN 0 THEN least(job.due, excluded.due) WHEN 2 THEN excluded.due ELSE job.due END,
    attempts = CASE job.state WHEN 2 THEN 0 ELSE job.attempts END,
    rescues = CASE job.state WHEN 2 THEN 0 ELSE job.rescues END,
    -- A leased key is marked to run again; the mark outlives whatever ends the lease. A command beats a wake.
    rerun_due = CASE job.state WHEN 1 THEN least(job.rerun_due, excluded.due) END,
    rerun_why = CASE job.state WHEN 1 THEN greatest(job.rerun_why, excluded.why) END,
    why = excluded.why,
    answer = CASE job.state WHEN 0 THEN 1 WHEN 1 THEN 2 ELSE 3 END
WHERE true
  AND job.kind = excluded.kind AND job.payload = excluded.payload -- guard: payload
  -- A wake does not fight whoever let it die.
  AND (job.state <> 2 OR excluded.why = 2) -- guard: command
RETURNING job.key, job.answer
