SELECT sequence, hash FROM vip.audit_heads WHERE tenant = $1
