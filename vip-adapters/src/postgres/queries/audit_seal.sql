UPDATE vip.audit AS record
SET sequence = place.sequence, hash = place.hash
FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS place(position, sequence, hash)
WHERE record.position = place.position
  AND record.sequence IS NULL
