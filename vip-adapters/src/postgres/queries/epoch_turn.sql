-- Openers take turns, until the end of the transaction. In a statement of its own: one that looks and waits may look first.
SELECT pg_advisory_xact_lock(hashtextextended('vip.epochs', 0))
