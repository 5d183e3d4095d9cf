-- Asked about keys that an enqueue refused: whether they stand for the same. By ANY as in `job_done.sql`.
SELECT standing.key
FROM vip.jobs AS standing
JOIN unnest($1::text[], $2::text[], $3::text[]) AS refused(key, kind, payload) ON standing.key = ANY (ARRAY[refused.key])
-- Nor by their kind.
WHERE standing.kind IS NOT DISTINCT FROM refused.kind AND standing.payload = refused.payload
