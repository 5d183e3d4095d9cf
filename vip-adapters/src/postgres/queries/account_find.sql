SELECT body::text AS body FROM vip.accounts WHERE id = $1
