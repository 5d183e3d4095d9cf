UPDATE vip_epochs SET last = max(last, ?1)
