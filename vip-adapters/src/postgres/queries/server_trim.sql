-- No new version and no audit record: nothing of the record's history is changed by forgetting its details.
UPDATE vip.servers
SET body = $2::text::json, trimmed = true
WHERE id = $1
  AND stamp = $3
