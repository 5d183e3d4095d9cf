-- Those without a key are not looked at again, until another key comes. By ANY as in `job_done.sql`.
UPDATE vip.servers AS server
SET keyed = false
FROM unnest($1::uuid[], $2::uuid[]) AS ended(id, stamp)
WHERE server.id = ANY (ARRAY[ended.id])
  -- A command may have brought a key that is not seen from here; it has changed the stamp, too.
  AND server.stamp = ended.stamp
  -- By OFFSET a look into the index for each: as a join, planned while there were few keys, it would walk through all of them.
  AND NOT EXISTS (SELECT 1 FROM vip.keys WHERE vip.keys.server = ANY (ARRAY[server.id]) OFFSET 0)
