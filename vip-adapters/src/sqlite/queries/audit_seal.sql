UPDATE vip_audit
SET sequence = ?2, hash = ?3
WHERE position = ?1
  AND sequence IS NULL
