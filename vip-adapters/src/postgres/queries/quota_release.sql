UPDATE vip.quotas
SET used = used - 1
WHERE tenant = $1
  AND used > 0
