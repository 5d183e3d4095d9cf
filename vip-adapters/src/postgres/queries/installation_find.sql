SELECT id FROM vip.installation
