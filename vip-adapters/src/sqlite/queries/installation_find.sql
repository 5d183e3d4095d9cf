SELECT id FROM vip_installation
