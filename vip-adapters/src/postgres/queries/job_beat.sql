-- Only leases that have not expired: an expired one may be in other hands at any moment.
WITH clock AS MATERIALIZED (
    SELECT coalesce($5::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
),
-- By ANY as in `job_done.sql`: never by a walk through all jobs.
held AS MATERIALIZED (
    SELECT job.id, job.epoch, job.claim, clock.now
    FROM clock
    CROSS JOIN unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS held(id, epoch, claim)
    JOIN vip.jobs AS job ON job.id = ANY (ARRAY[held.id])
    WHERE job.state = 1
      AND job.epoch = held.epoch -- guard: epoch
      AND job.claim = held.claim -- guard: claim
      AND job.lease_until > clock.now -- guard: expiry
    -- Who holds one row, perhaps for long, keeps no other lease from being prolonged; as nothing is waited for here, the order
    -- does not matter either.
    FOR NO KEY UPDATE OF job SKIP LOCKED
)
UPDATE vip.jobs AS job
SET lease_until = greatest(job.lease_until, held.now + $4)
FROM held
WHERE job.id = ANY (ARRAY[held.id])
RETURNING held.id, held.epoch, held.claim
