-- Tells waiting workers of other processes that there are jobs; whoever sent it knows already.
SELECT pg_notify('vip_jobs', $1)
