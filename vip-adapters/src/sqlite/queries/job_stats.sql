SELECT
    count(*) FILTER (WHERE state = 'waiting' AND due <= ?1) AS due,
    count(*) FILTER (WHERE state = 'waiting' AND due > ?1) AS later,
    count(*) FILTER (WHERE state = 'leased') AS leased,
    count(*) FILTER (WHERE state = 'dead') AS dead,
    min(due) FILTER (WHERE state = 'waiting' AND due <= ?1) AS oldest_due
FROM vip_jobs
-- No kind named means all of them.
WHERE json_array_length(?2) = 0 OR kind IN (SELECT value FROM json_each(?2))
