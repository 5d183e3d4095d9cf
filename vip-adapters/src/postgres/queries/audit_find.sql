-- Asked when a guard has refused: a change with an audit record was applied before, and is not refused but repeated.
SELECT at FROM vip.audit WHERE change_id = $1
