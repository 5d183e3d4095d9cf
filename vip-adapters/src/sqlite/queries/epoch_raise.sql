-- Upwards only; changes no row if it would not be.
UPDATE vip_epochs SET last = ?1 WHERE last < ?1
