-- The host's own table, in the database that it shares with VIP, under sqlx's own bookkeeping.
CREATE TABLE orders (
    number       TEXT PRIMARY KEY,
    operation_id TEXT NOT NULL,
    placed_at    INTEGER NOT NULL
);
