UPDATE vip_accounts
SET version = version + 1, body = ?2
WHERE id = ?1
  AND version = ?3 -- guard: version
