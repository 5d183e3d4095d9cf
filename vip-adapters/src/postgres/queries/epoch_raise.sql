-- Raised to the clock when the backend is opened. A sequence knows no "only upwards", and others may draw numbers at this
-- moment: so it is raised only if it lies behind by far more than can be drawn between the look and the setting. Openers
-- take turns (`epoch_turn.sql`): another one of them may have raised it.
SELECT setval('vip.epochs', $1)
WHERE (SELECT last_value FROM vip.epochs) < $1 - 1000000
