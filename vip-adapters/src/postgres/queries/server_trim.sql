-- All at once: one way to the server and back, however many there are. By ANY as in `job_done.sql`: never by a walk through all
-- records. No new version and no audit record: nothing of a record's history is changed by forgetting its details.
UPDATE vip.servers AS server
SET body = forgotten.body::json, trimmed = true
FROM unnest($1::uuid[], $2::text[], $3::uuid[]) AS forgotten(id, body, stamp)
WHERE server.id = ANY (ARRAY[forgotten.id])
  AND server.stamp = forgotten.stamp
