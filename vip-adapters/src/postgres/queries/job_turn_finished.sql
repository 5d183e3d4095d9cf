-- $1 the time in microseconds, $2 how many whole days of finished jobs are kept beside today's.
SELECT vip.turn_finished_jobs($1, $2)
