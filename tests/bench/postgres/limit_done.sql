DELETE FROM limit_jobs AS job
USING unnest($1::bigint[], $2::integer[]) AS done(id, attempt)
WHERE job.id = done.id AND job.attempt = done.attempt AND job.worker = $3 AND job.state = 1
