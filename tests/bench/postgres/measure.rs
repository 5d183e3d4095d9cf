//! What a piece of work costs: time, WAL, statements, dead rows at the server, and processor time here.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tokio::time::Instant;
use vip_tests::postgres::Server;
use vip_tests::site::pause;

/// Ticks of the processor times in `/proc`, as Linux has had them for ever.
const TICKS_PER_SECOND: f64 = 100.0;
/// Between two looks whether our sessions are gone: only then are their counts complete.
const LOOK: Duration = Duration::from_millis(20);

/// Is what was measured of one run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figure {
    pub(crate) rate: f64,
    /// From here on: for each job.
    pub(crate) wal_bytes: f64,
    pub(crate) statements: f64,
    pub(crate) dead_rows: f64,
    /// The share of updates that wrote no index entry and whose old rows go without a vacuum.
    pub(crate) hot: f64,
    pub(crate) client_micros: f64,
}

/// Is a measurement that has begun.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    connection: PgConnection,
    begun: Instant,
    cpu: f64,
    wal: f64,
    rows: [f64; 3],
    took: Option<(Duration, f64, f64, f64)>,
}

#[expect(clippy::cast_precision_loss, reason = "a figure")]
pub(crate) fn float(number: usize) -> f64 {
    number as f64
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name, which may hold anything: the 12th and 13th are user and system time.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = |place: usize| fields.get(place).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

impl Stopwatch {
    /// Prepares a database for a run of which nothing else is measured, and starts the time.
    pub(crate) async fn start(server: &Server, database: &str) -> Self {
        let mut connection = PgConnection::connect(&server.url(database)).await.unwrap();
        sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").execute(&mut connection).await.unwrap();
        sqlx::raw_sql("ANALYZE").execute(&mut connection).await.unwrap();
        sqlx::raw_sql("CHECKPOINT").execute(&mut connection).await.unwrap();
        let rows = rows(&mut connection).await;
        sqlx::raw_sql("SELECT pg_stat_statements_reset()").execute(&mut connection).await.unwrap();
        let wal = wal(&mut connection).await;
        Self { connection, begun: Instant::now(), cpu: cpu_seconds(), wal, rows, took: None }
    }

    /// Returns the rate alone; the sessions may stay open.
    pub(crate) fn rate(&self, jobs: usize) -> f64 {
        float(jobs) / self.took.unwrap().0.as_secs_f64()
    }

    /// Stops the time.
    pub(crate) async fn stop(&mut self) {
        let (took, cpu) = (self.begun.elapsed(), cpu_seconds() - self.cpu);
        let wal = wal(&mut self.connection).await - self.wal;
        let text = "SELECT coalesce(sum(calls), 0)::float8 FROM pg_stat_statements AS said
            JOIN pg_database AS base ON base.oid = said.dbid
            WHERE base.datname = current_database() AND said.toplevel AND said.query NOT LIKE '%pg_stat_statements%'";
        let statements = number(&mut self.connection, text).await;
        self.took = Some((took, cpu, wal, statements));
    }

    /// Returns the figure of `jobs`; the sessions of what was measured have to be closed.
    pub(crate) async fn figure(mut self, jobs: usize) -> Figure {
        let others = "SELECT count(*)::float8 FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        while number(&mut self.connection, others).await > 0.0 {
            pause(LOOK).await;
        }
        let [updated, hot, deleted] = rows(&mut self.connection).await;
        let [updated_before, hot_before, deleted_before] = self.rows;
        let (updated, hot, deleted) = (updated - updated_before, hot - hot_before, deleted - deleted_before);
        let (took, cpu, wal, statements) = self.took.unwrap();
        let jobs = float(jobs);
        self.connection.close().await.unwrap();
        Figure {
            rate: jobs / took.as_secs_f64(),
            wal_bytes: wal / jobs,
            statements: statements / jobs,
            dead_rows: (updated - hot + deleted) / jobs,
            hot: if updated > 0.0 { hot / updated } else { 0.0 },
            client_micros: cpu * 1e6 / jobs,
        }
    }
}

async fn number(connection: &mut PgConnection, text: &str) -> f64 {
    sqlx::raw_sql(AssertSqlSafe(text.to_owned())).fetch_one(connection).await.unwrap().try_get(0).unwrap()
}

async fn wal(connection: &mut PgConnection) -> f64 {
    number(connection, "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8").await
}

async fn rows(connection: &mut PgConnection) -> [f64; 3] {
    let column = |name: &str| format!("SELECT coalesce(sum({name}), 0)::float8 FROM pg_stat_user_tables");
    let mut rows = [0.0; 3];
    for (place, name) in rows.iter_mut().zip(["n_tup_upd", "n_tup_hot_upd", "n_tup_del"]) {
        *place = number(connection, &column(name)).await;
    }
    rows
}

fn middle(mut numbers: Vec<f64>) -> (f64, f64, f64) {
    numbers.sort_by(f64::total_cmp);
    let at = |place: usize| numbers.get(place).copied().unwrap();
    (at(numbers.len() / 2), at(0), at(numbers.len() - 1))
}

/// Collects the rounds of what is compared.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<(String, Vec<Figure>)>,
}

impl Table {
    pub(crate) fn add(&mut self, row: &str, figure: Figure) {
        match self.rows.iter_mut().find(|(name, _)| name == row) {
            Some((_, figures)) => figures.push(figure),
            None => self.rows.push((row.to_owned(), vec![figure])),
        }
    }

    /// Prints medians; a ratio is the median of the ratios within the rounds, to the first row.
    pub(crate) fn print(&self, what: &str) {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap();
        println!("\n## {what} (load average {})\n", load.split(' ').next().unwrap());
        println!(
            "| | a second: median (least to most) | times the first row | WAL B | statements | dead rows for vacuum | HOT | client CPU µs |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        let first = &self.rows.first().unwrap().1;
        for (name, figures) in &self.rows {
            let of = |read: fn(&Figure) -> f64| middle(figures.iter().map(read).collect()).0;
            let (rate, least, most) = middle(figures.iter().map(|figure| figure.rate).collect());
            let ratios = figures.iter().zip(first).map(|(mine, first)| mine.rate / first.rate).collect();
            println!(
                "| {name} | {rate:.0} ({least:.0} to {most:.0}) | {:.2} | {:.0} | {:.4} | {:.2} | {:.2} | {:.1} |",
                middle(ratios).0,
                of(|it| it.wal_bytes),
                of(|it| it.statements),
                of(|it| it.dead_rows),
                of(|it| it.hot),
                of(|it| it.client_micros),
            );
        }
    }
}

/// Prints what waits cost, in milliseconds, one row after the other.
pub(crate) fn print_waits(what: &str, rows: &[(String, Vec<Duration>)]) {
    println!("\n## {what}\n\n| | p50 ms | p90 | p99 | most |\n|---|---|---|---|---|");
    for (name, waits) in rows {
        let mut waits = waits.clone();
        waits.sort_unstable();
        let at = |percent: usize| {
            let place = (waits.len() * percent / 100).min(waits.len() - 1);
            waits.get(place).unwrap().as_secs_f64() * 1e3
        };
        println!("| {name} | {:.2} | {:.2} | {:.2} | {:.2} |", at(50), at(90), at(99), at(100));
    }
}
