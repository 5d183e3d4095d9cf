UPDATE vip.quotas
SET used = used + 1
WHERE tenant = $1
  AND ($2::bigint IS NULL OR used + 1 <= $2) -- guard: quota
