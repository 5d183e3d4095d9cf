-- Only leases that have not expired: an expired one may be in other hands at any moment.
WITH clock AS MATERIALIZED (
    SELECT coalesce($5::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now
),
-- By ANY as in `job_done.sql`: never by a walk through all jobs.
-- Locked as in a settlement: all of them first, in the order of their ids, which is how they are sent.
held AS MATERIALIZED (
    SELECT job.id, job.epoch, job.claim, clock.now
    FROM clock
    CROSS JOIN unnest($1::uuid[], $2::bigint[], $3::uuid[]) WITH ORDINALITY AS held(id, epoch, claim, place)
    JOIN vip.jobs AS job ON job.id = ANY (ARRAY[held.id])
    WHERE job.state = 1
      AND job.epoch = held.epoch -- guard: epoch
      AND job.claim = held.claim -- guard: claim
      AND job.lease_until > clock.now -- guard: expiry
    ORDER BY held.place
    FOR NO KEY UPDATE OF job
)
UPDATE vip.jobs AS job
SET lease_until = greatest(job.lease_until, held.now + $4)
FROM held
WHERE job.id = ANY (ARRAY[held.id])
RETURNING held.id, held.epoch, held.claim
