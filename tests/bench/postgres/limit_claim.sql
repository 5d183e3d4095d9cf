WITH chosen AS (
    SELECT id FROM limit_jobs WHERE state = 0 ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
)
UPDATE limit_jobs AS job
SET state = 1, attempt = attempt + 1, worker = $2, lease_until = now() + interval '30 s'
FROM chosen
WHERE job.id = chosen.id
RETURNING job.id, job.attempt, job.payload::text
