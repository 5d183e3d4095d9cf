SELECT tenant, sequence, hash FROM vip.audit_heads WHERE tenant = ANY ($1)
