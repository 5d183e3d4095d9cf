-- Sealers of all processes take turns, until the end of the transaction. Writers do not wait for it.
SELECT pg_advisory_xact_lock(hashtextextended('vip.audit.seal', 0))
