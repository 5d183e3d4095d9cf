-- Moved on from where it was read. Writers take turns, so nobody can have moved it meanwhile; if the row count says
-- otherwise, somebody has changed the file by hand.
UPDATE vip_audit_heads
SET sequence = ?2, hash = ?3
WHERE tenant = ?1
  AND sequence = ?4
