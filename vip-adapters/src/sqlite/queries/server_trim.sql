-- No new version and no audit record: nothing of the record's history is changed by forgetting its details.
UPDATE vip_servers
SET body = ?2, trimmed = 1
WHERE id = ?1
  AND stamp = ?3
