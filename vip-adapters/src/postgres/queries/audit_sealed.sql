SELECT sequence, hash, body
FROM vip.audit
WHERE tenant = $1
  AND sequence > $2
ORDER BY sequence
LIMIT $3
