-- For the time until a job is picked up: a ring with each statement that inserts.
CREATE FUNCTION limit_ring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('limit', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER limit_rings AFTER INSERT ON limit_jobs FOR EACH STATEMENT EXECUTE FUNCTION limit_ring();
