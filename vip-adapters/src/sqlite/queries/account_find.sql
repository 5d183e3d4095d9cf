SELECT body FROM vip_accounts WHERE id = ?1
