//! The limit: a cycle written by hand, with the same jobs and no promise but the fence of its claims.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgListener, PgRow};
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use vip_tests::site::pause;

use crate::sides::{Body, Running, Seen, Side, Work};

const CLAIM: &str = include_str!("limit_claim.sql");
const DONE: &str = include_str!("limit_done.sql");
const INSERT: &str = "INSERT INTO limit_jobs (payload) VALUES ($1::text::jsonb)";
const INSERT_MANY: &str = "INSERT INTO limit_jobs (payload) SELECT body::jsonb FROM unnest($1::text[]) AS fresh(body)";
/// Connections for inserts, as many as the product has for commits.
const CONNECTIONS: usize = 8;
/// Claimers, and what each of them takes at once.
const CLAIMERS: i32 = 2;
const BATCH: i64 = 500;
/// How long a claimer that found nothing leaves the table alone.
const IDLE: Duration = Duration::from_millis(5);

/// Is the table, and connections of our own.
pub(crate) struct Limit {
    url: String,
    connections: Vec<Mutex<PgConnection>>,
    turn: AtomicUsize,
}

/// Says whether each insert rings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bell {
    Silent,
    Rings,
}

impl Limit {
    pub(crate) async fn open(url: &str, bell: Bell) -> Self {
        let mut first = PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(include_str!("limit_tables.sql")).execute(&mut first).await.unwrap();
        if bell == Bell::Rings {
            sqlx::raw_sql(include_str!("limit_bell.sql")).execute(&mut first).await.unwrap();
        }
        let mut limit = Self::join(url).await;
        limit.connections.push(Mutex::new(first));
        limit
    }

    /// Uses tables that are there.
    pub(crate) async fn join(url: &str) -> Self {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS - 1 {
            connections.push(Mutex::new(PgConnection::connect(url).await.unwrap()));
        }
        Self { url: url.to_owned(), connections, turn: AtomicUsize::new(0) }
    }
}

#[async_trait]
impl Side for Limit {
    async fn enqueue(&self, numbers: Range<usize>) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        let body = |number| serde_json::to_string(&Body::new(number)).unwrap();
        let query = if numbers.len() == 1 {
            sqlx::query(INSERT).bind(body(numbers.start))
        } else {
            sqlx::query(INSERT_MANY).bind(numbers.map(body).collect::<Vec<String>>())
        };
        let mut connection = self.connections.get(turn).unwrap().lock().await;
        query.execute(&mut *connection).await.unwrap();
    }

    async fn start(&self, seen: Arc<Seen>, work: Work) -> Box<dyn Running> {
        let mut claimers = JoinSet::new();
        match work {
            Work::Much => {
                for worker in 0..CLAIMERS {
                    let connection = PgConnection::connect(&self.url).await.unwrap();
                    claimers.spawn(drain(connection, worker, Arc::clone(&seen)));
                }
            }
            Work::Soon => {
                let mut listener = PgListener::connect(&self.url).await.unwrap();
                listener.listen("limit").await.unwrap();
                let connection = PgConnection::connect(&self.url).await.unwrap();
                claimers.spawn(answer(listener, connection, seen));
            }
        }
        Box::new(Claimers(claimers))
    }

    async fn is_empty(&self) -> bool {
        let mut connection = self.connections.first().unwrap().lock().await;
        let row = sqlx::raw_sql("SELECT NOT EXISTS (SELECT FROM limit_jobs)").fetch_one(&mut *connection).await;
        row.unwrap().try_get(0).unwrap()
    }

    async fn close(self: Box<Self>) {
        for connection in self.connections {
            connection.into_inner().close().await.unwrap();
        }
    }
}

struct Claimers(JoinSet<()>);

#[async_trait]
impl Running for Claimers {
    async fn end(mut self: Box<Self>) {
        self.0.shutdown().await;
    }
}

async fn cycle(connection: &mut PgConnection, worker: i32, note: impl Fn(&Body)) -> usize {
    let rows: Vec<PgRow> = sqlx::query(CLAIM).bind(BATCH).bind(worker).fetch_all(&mut *connection).await.unwrap();
    let (mut ids, mut attempts) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for row in &rows {
        note(&serde_json::from_str(row.try_get("payload").unwrap()).unwrap());
        ids.push(row.try_get::<i64, _>("id").unwrap());
        attempts.push(row.try_get::<i32, _>("attempt").unwrap());
    }
    if !rows.is_empty() {
        sqlx::query(DONE).bind(ids).bind(attempts).bind(worker).execute(connection).await.unwrap();
    }
    rows.len()
}

async fn drain(mut connection: PgConnection, worker: i32, seen: Arc<Seen>) {
    loop {
        if cycle(&mut connection, worker, |body| seen.note(body)).await == 0 {
            pause(IDLE).await;
        }
    }
}

async fn answer(mut listener: PgListener, mut connection: PgConnection, seen: Arc<Seen>) {
    loop {
        listener.recv().await.unwrap();
        cycle(&mut connection, 0, |body| seen.note_wait(body)).await;
    }
}
