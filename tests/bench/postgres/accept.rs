//! Orders: server, operation, job, audit record and key in one commit each, beside one statement for many by hand.

use sqlx::{Connection, PgConnection, Row};
use tokio::task::JoinSet;
use uuid::Uuid;
use vip_adapters::postgres::{PostgresBackend, PostgresConfig};
use vip_core::Provisioner;
use vip_tests::postgres::Server;
use vip_tests::site;

use crate::Plan;
use crate::measure::{Figure, Stopwatch, Table};

const BY_HAND: &str = include_str!("limit_accept.sql");
/// Tasks that order at once, and the orders of one statement by hand.
const TASKS: usize = 50;

/// Says who orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tenants {
    /// Each task for a tenant of its own.
    Many,
    /// All tasks for one, whose quota counter each order changes.
    One,
}

impl Tenants {
    fn name(self, task: usize) -> String {
        match self {
            Self::Many => format!("tenant-{task}"),
            Self::One => "tenant".to_owned(),
        }
    }
}

pub(crate) async fn accept(server: &Server, plan: &Plan) {
    let orders = (plan.jobs / 5).max(TASKS) / TASKS * TASKS;
    let mut table = Table::default();
    for _ in 0..plan.rounds {
        for (row, tenants) in [("by hand", Tenants::Many), ("by hand, one tenant", Tenants::One)] {
            table.add(row, by_hand(server, orders, tenants).await);
        }
        for (row, tenants) in [("ours", Tenants::Many), ("ours, one tenant", Tenants::One)] {
            table.add(row, ours(server, orders, tenants).await);
        }
    }
    table.print(&format!(
        "{orders} orders with keys by {TASKS} tasks; by hand {TASKS} in one statement, one statement after the other"
    ));
}

async fn product(url: &str) -> Provisioner {
    let backend = PostgresBackend::connect(url, PostgresConfig::default()).await.unwrap();
    Provisioner::builder(backend.backend()).client_only().await.unwrap()
}

async fn order(product: &Provisioner, tenant: &str, key: &str) {
    let spec = site::spec("web-1");
    drop(product.tenant(tenant).create_server(spec).idempotency_key(key).await.unwrap());
}

async fn ours(server: &Server, orders: usize, tenants: Tenants) -> Figure {
    let database = server.new_database().await;
    let product = product(&server.url(&database)).await;
    let tasks = |each: usize, name: &'static str| {
        let mut tasks = JoinSet::new();
        for task in 0..TASKS {
            let product = product.clone();
            tasks.spawn(async move {
                for number in 0..each {
                    order(&product, &tenants.name(task), &format!("{name}-{task}-{number}")).await;
                }
            });
        }
        tasks.join_all()
    };
    tasks(1, "first").await;
    let mut watch = Stopwatch::start(server, &database).await;
    tasks(orders / TASKS, "order").await;
    watch.stop().await;
    assert!(product.shutdown(std::time::Duration::from_secs(10)).await.is_clean());
    let figure = watch.figure(orders).await;
    server.run("postgres", &format!("DROP DATABASE {database}")).await;
    figure
}

/// Writes rows as large as those of a real order.
async fn by_hand(server: &Server, orders: usize, tenants: Tenants) -> Figure {
    let database = server.new_database().await;
    let product = product(&server.url(&database)).await;
    order(&product, &tenants.name(0), "first").await;
    assert!(product.shutdown(std::time::Duration::from_secs(10)).await.is_clean());
    let mut connection = PgConnection::connect(&server.url(&database)).await.unwrap();
    let sample = "SELECT servers.body::text, create_hash, fingerprint, payload, audit.body
        FROM vip.servers, vip.keys, vip.jobs, vip.audit LIMIT 1";
    let row = sqlx::raw_sql(sample).fetch_one(&mut connection).await.unwrap();
    let texts: Vec<String> = (0..5).map(|column| row.try_get(column).unwrap()).collect();
    let mut watch = Stopwatch::start(server, &database).await;
    for _ in 0..orders / TASKS {
        let ids = || (0..TASKS).map(|_| Uuid::now_v7()).collect::<Vec<_>>();
        let names = (0..TASKS).map(|task| tenants.name(task)).collect::<Vec<_>>();
        let mut query = sqlx::query(BY_HAND).bind(ids()).bind(ids()).bind(ids()).bind(ids()).bind(names);
        for text in &texts {
            query = query.bind(text.clone());
        }
        query.execute(&mut connection).await.unwrap();
    }
    watch.stop().await;
    connection.close().await.unwrap();
    let figure = watch.figure(orders).await;
    server.run("postgres", &format!("DROP DATABASE {database}")).await;
    figure
}
