-- Raises the epochs to $1, as to the clock when the backend is opened. A sequence knows no "only upwards", and others may draw
-- numbers at this moment: so it is raised only if it lies behind by more than $2, which is far more than can be drawn between
-- the look and the setting. Who raises takes a turn (`epoch_turn.sql`): another one may have raised it.
SELECT setval('vip.epochs', $1)
WHERE (SELECT last_value FROM vip.epochs) < $1 - $2
