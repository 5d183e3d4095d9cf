-- Tells waiting workers of other processes that there are jobs; whoever sent it knows already. Not where the server's queue of
-- hints fills up, because somebody does not read: a full one would fail the commit, also that of a host. The job is polled for.
SELECT pg_notify('vip_jobs', $1) WHERE pg_notification_queue_usage() < 0.5
