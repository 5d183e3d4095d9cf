UPDATE vip.accounts
SET version = version + 1, body = $2::text::json
WHERE id = $1
  AND version = $3 -- guard: version
