UPDATE vip_audit_heads
SET sequence = ?2, hash = ?3
WHERE tenant = ?1
  AND sequence = ?4 -- guard: head
