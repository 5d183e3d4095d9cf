SELECT at FROM vip_audit WHERE change_id = ?1
