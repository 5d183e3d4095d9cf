SELECT sequence, hash FROM vip_audit_heads WHERE tenant = ?1
