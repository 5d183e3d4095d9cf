-- Writes one page. A number that may only rise, by as little as it can: every lease stays as it is. The same number written
-- again would not reach the disk.
UPDATE vip_epochs
SET last = last + 1
