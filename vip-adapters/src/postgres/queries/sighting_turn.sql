-- Sweeps of one account take turns, until the end of the transaction: of two lists at once one stays, and not both.
SELECT pg_advisory_xact_lock(hashtextextended('vip.sightings.' || $1, 0))
