-- Asked about keys that an enqueue refused: whether they stand for the same.
SELECT standing.key
FROM vip.jobs AS standing
JOIN unnest($1::text[], $2::text[], $3::text[]) AS refused(key, kind, payload) ON standing.key = refused.key
WHERE standing.kind = refused.kind AND standing.payload = refused.payload
