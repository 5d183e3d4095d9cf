-- A claim: $1 the time or nothing for the server's own, $2 kinds, $3 how many, $4 the claim, $5 how long, $6 and $7 behind which place
-- each kind begins: what was claimed and settled before it is still in the index as long as anybody could see it.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
),
-- Places alone, since they are read twice; whole rows go to the caller as they are changed.
chosen AS MATERIALIZED (
    SELECT found.place
    FROM unnest($2::text[], $6::bigint[], $7::uuid[]) AS wanted(kind, reached_at, reached)
    -- For each kind by itself: what is not known here, not due or dead stands in nobody's way.
    CROSS JOIN LATERAL (
        SELECT ready.ctid AS place, ready.ready_at, ready.id
        FROM vip.jobs AS ready
        WHERE true
          AND ready.ready_at <= (SELECT now FROM clock) -- guard: due
          AND ready.kind > ''
          AND ready.kind = wanted.kind -- guard: kind
          AND (ready.ready_at, ready.id) > (wanted.reached_at, wanted.reached)
          AND ready.state = 0
        ORDER BY ready.ready_at, ready.id
        LIMIT $3
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS found
    ORDER BY found.ready_at, found.id
    LIMIT $3
),
-- What is changed below, as it was before: a row that moved between the choice and its lock is left for the next claim there and here.
granted AS (
    INSERT INTO vip.leases (claim, until, jobs)
    SELECT $4, (SELECT now FROM clock) + $5, array_agg(job.id)
    FROM vip.jobs AS job
    WHERE job.ctid = ANY(ARRAY(SELECT place FROM chosen))
      AND job.state = 0
    HAVING count(*) > 0
)
UPDATE vip.jobs AS job
-- An epoch is given once, and a later claim gets a higher one.
SET state = 1, epoch = nextval('vip.epochs'), claim = $4, lease_until = (SELECT now FROM clock) + $5
-- By the places of the rows: no second way through an index.
WHERE job.ctid = ANY(ARRAY(SELECT place FROM chosen))
  -- Looked at again: the place was chosen before the row was locked.
  AND job.state = 0
-- Without what the caller has said itself.
RETURNING
    job.id, job.key, job.kind, job.payload, job.tenant, job.request_id, job.trace_parent, job.due, job.attempts, job.snoozes,
    job.rescues, job.max_attempts, job.epoch, job.lease_until, job.last_error
