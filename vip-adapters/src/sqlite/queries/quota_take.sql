UPDATE vip_quotas
SET used = used + 1
WHERE tenant = ?1
  AND (?2 IS NULL OR used + 1 <= ?2) -- guard: quota
