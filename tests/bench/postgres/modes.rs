//! What is measured: drains, enqueues, both at once, waits, deep backlogs, a pinned snapshot.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Connection, PgConnection};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;
use vip_tests::postgres::Server;
use vip_tests::site::pause;

use crate::limit::Limit;
use crate::measure::{Figure, Stopwatch, Table, print_waits};
use crate::ours::Ours;
use crate::sides::{Seen, Side, Work};
use crate::{Plan, open};

/// Jobs of one enqueue where many are enqueued.
const BATCH: usize = 500;
/// Callers that enqueue while others drain.
const CALLERS: usize = 2;
/// Single jobs of the measurement of waits, and the time between two.
const PICKED_UP: usize = 200;
const BETWEEN: Duration = Duration::from_millis(30);
/// What is drained of a backlog, and how many there are in the small one.
const PART: usize = 20_000;
/// Between two looks whether the store is empty, once all handlers have run.
const LOOK: Duration = Duration::from_millis(2);
/// The role of the process that enqueues from elsewhere.
pub(crate) const PRODUCER: &str = "producer";

async fn load(side: &dyn Side, jobs: std::ops::Range<usize>) {
    for start in jobs.clone().step_by(BATCH) {
        side.enqueue(start..jobs.end.min(start + BATCH)).await;
    }
}

async fn until_empty(side: &dyn Side, seen: &Seen) {
    seen.done().await;
    while !side.is_empty().await {
        pause(LOOK).await;
    }
}

/// Drains what was loaded; says what it cost.
async fn drained(server: &Server, side: &str, jobs: usize, pin: Option<&str>) -> Figure {
    let database = server.new_database().await;
    let opened = open(side, &server.url(&database)).await;
    load(&*opened, 0..jobs).await;
    let mut pinned = None;
    if pin.is_some() {
        let mut connection = PgConnection::connect(&server.url(&database)).await.unwrap();
        let text = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class";
        sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
        pinned = Some(connection);
    }
    let seen = Seen::new(jobs, jobs);
    let mut watch = Stopwatch::start(server, &database).await;
    let worker = opened.start(Arc::clone(&seen), Work::Much).await;
    until_empty(&*opened, &seen).await;
    watch.stop().await;
    worker.end().await;
    opened.close().await;
    if let Some(connection) = pinned {
        connection.close().await.unwrap();
    }
    assert_eq!(seen.runs(), jobs);
    let figure = watch.figure(jobs).await;
    server.run("postgres", &format!("DROP DATABASE {database}")).await;
    figure
}

pub(crate) async fn drain(server: &Server, plan: &Plan) {
    let mut table = Table::default();
    for _ in 0..plan.rounds {
        for side in ["limit", "ours"] {
            table.add(side, drained(server, side, plan.jobs, None).await);
        }
    }
    table.print(&format!("drain of {} jobs", plan.jobs));
}

pub(crate) async fn pinned(server: &Server, plan: &Plan) {
    let mut table = Table::default();
    for _ in 0..plan.rounds {
        for (row, side, pin) in [
            ("ours", "ours", None),
            ("ours, pinned", "ours", Some("pinned")),
            ("limit", "limit", None),
            ("limit, pinned", "limit", Some("pinned")),
        ] {
            table.add(row, drained(server, side, plan.jobs, pin).await);
        }
    }
    table.print(&format!("drain of {} jobs while a transaction is held open", plan.jobs));
}

/// Says what there was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// Jobs that are done, after which the server has counted those that are left: none.
    Rest,
}

/// Enqueues and drains meanwhile.
async fn at_once(server: &Server, side: &str, jobs: usize, before: Before) -> Figure {
    let database = server.new_database().await;
    let opened = open(side, &server.url(&database)).await;
    let first = if before == Before::Rest { BATCH } else { 0 };
    if first > 0 {
        let seen = Seen::new(first, first);
        let worker = opened.start(Arc::clone(&seen), Work::Much).await;
        load(&*opened, 0..first).await;
        until_empty(&*opened, &seen).await;
        worker.end().await;
    }
    let seen = Seen::new(first + jobs, jobs);
    let mut watch = Stopwatch::start(server, &database).await;
    let worker = opened.start(Arc::clone(&seen), Work::Much).await;
    let share = jobs / CALLERS;
    let callers = (0..CALLERS).map(|caller| {
        let end = if caller + 1 == CALLERS { jobs } else { (caller + 1) * share };
        load(&*opened, first + caller * share..first + end)
    });
    join_all(callers).await;
    until_empty(&*opened, &seen).await;
    watch.stop().await;
    worker.end().await;
    opened.close().await;
    let figure = watch.figure(jobs).await;
    server.run("postgres", &format!("DROP DATABASE {database}")).await;
    figure
}

async fn at_once_in_turn(server: &Server, plan: &Plan, before: Before, title: &str) {
    let mut table = Table::default();
    for _ in 0..plan.rounds {
        for side in ["limit", "ours"] {
            table.add(side, at_once(server, side, plan.jobs, before).await);
        }
    }
    table.print(&format!(
        "{} jobs enqueued by {CALLERS} callers in batches of {BATCH}, and drained meanwhile{title}",
        plan.jobs
    ));
}

pub(crate) async fn both(server: &Server, plan: &Plan) {
    at_once_in_turn(server, plan, Before::Nothing, "").await;
}

pub(crate) async fn burst(server: &Server, plan: &Plan) {
    at_once_in_turn(server, plan, Before::Rest, ", after the server has counted an empty queue").await;
}

/// Enqueues with some callers at once, each so many jobs a call.
async fn enqueued(server: &Server, side: &str, jobs: usize, callers: usize, batch: usize) -> Figure {
    let database = server.new_database().await;
    let opened = Arc::new(open(side, &server.url(&database)).await);
    // What connections and statements cost at their first use is not what is asked.
    load(&**opened, 0..BATCH).await;
    join_all((0..callers).map(|caller| opened.enqueue(BATCH + caller..BATCH + caller + 1))).await;
    let first = BATCH + callers;
    let share = jobs / callers;
    let mut watch = Stopwatch::start(server, &database).await;
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let opened = Arc::clone(&opened);
        tasks.spawn(async move {
            let begin = first + caller * share;
            for start in (begin..begin + share).step_by(batch) {
                opened.enqueue(start..(begin + share).min(start + batch)).await;
            }
        });
    }
    tasks.join_all().await;
    watch.stop().await;
    Arc::into_inner(opened).unwrap().close().await;
    let figure = watch.figure(share * callers).await;
    server.run("postgres", &format!("DROP DATABASE {database}")).await;
    figure
}

pub(crate) async fn enqueue_batch(server: &Server, plan: &Plan) {
    let mut table = Table::default();
    for _ in 0..plan.rounds {
        for (row, side) in [("limit, without keys", "limit"), ("ours, each with a key", "ours")] {
            table.add(row, enqueued(server, side, plan.jobs, 1, BATCH).await);
        }
    }
    table.print(&format!("{} jobs enqueued by one caller in batches of {BATCH}", plan.jobs));
}

pub(crate) async fn enqueue_one(server: &Server, plan: &Plan) {
    for callers in [8, 50] {
        let mut table = Table::default();
        let jobs = (plan.jobs / 4).max(callers);
        for _ in 0..plan.rounds {
            for side in ["limit", "limit that rings", "ours"] {
                table.add(side, enqueued(server, side, jobs, callers, 1).await);
            }
        }
        table.print(&format!("{jobs} jobs enqueued one at a time by {callers} tasks"));
    }
}

pub(crate) async fn pick_up(server: &Server, plan: &Plan) {
    let sides = [("limit", "limit that rings"), ("ours", "ours")];
    for elsewhere in [false, true] {
        let mut rows: Vec<(String, Vec<Duration>)> = Vec::new();
        for _ in 0..plan.rounds {
            for (row, side) in sides {
                let waits = picked_up(server, side, elsewhere).await;
                match rows.iter_mut().find(|(name, _)| name == row) {
                    Some((_, all)) => all.extend(waits),
                    None => rows.push((row.to_owned(), waits)),
                }
            }
        }
        let from = if elsewhere { "another process" } else { "the same process" };
        let jobs = PICKED_UP * plan.rounds;
        print_waits(&format!("from before the enqueue to the handler, {jobs} jobs of {from}"), &rows);
    }
}

async fn picked_up(server: &Server, side: &str, elsewhere: bool) -> Vec<Duration> {
    let database = server.new_database().await;
    let url = server.url(&database);
    let opened = Arc::new(open(side, &url).await);
    let seen = Seen::new(PICKED_UP, PICKED_UP);
    let worker = opened.start(Arc::clone(&seen), Work::Soon).await;
    if elsewhere {
        let mut producer = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args([PRODUCER, side, &url, &PICKED_UP.to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        seen.done().await;
        drop(producer.stdin.take());
        assert!(producer.wait().await.unwrap().success());
    } else {
        one_by_one(&opened, PICKED_UP).await;
        seen.done().await;
    }
    worker.end().await;
    Arc::into_inner(opened).unwrap().close().await;
    seen.waits()
}

/// Enqueues in a task, as a handler of requests does.
async fn one_by_one(side: &Arc<Box<dyn Side>>, jobs: usize) {
    let side = Arc::clone(side);
    let mut task = JoinSet::new();
    task.spawn(async move {
        for number in 0..jobs {
            pause(BETWEEN).await;
            side.enqueue(number..number + 1).await;
        }
    });
    task.join_all().await;
}

/// Is the process that enqueues from elsewhere; it ends when its input closes.
pub(crate) async fn produce(side: &str, url: &str, jobs: usize) {
    let opened: Box<dyn Side> = match side {
        "ours" => Box::new(Ours::open(url).await),
        _ => Box::new(Limit::join(url).await),
    };
    let opened = Arc::new(opened);
    one_by_one(&opened, jobs).await;
    tokio::io::stdin().read_to_end(&mut Vec::new()).await.unwrap();
    Arc::into_inner(opened).unwrap().close().await;
}

pub(crate) async fn backlog(server: &Server, plan: &Plan) {
    let mut queues = Vec::new();
    for (side, jobs) in [("ours", PART), ("ours", plan.backlog), ("limit", PART), ("limit", plan.backlog)] {
        let database = server.new_database().await;
        let opened = open(side, &server.url(&database)).await;
        load(&*opened, 0..jobs).await;
        queues.push((format!("{side}, of {jobs}"), database, opened, jobs));
    }
    let mut table = Table::default();
    for round in 0..plan.rounds {
        for (row, database, opened, jobs) in &queues {
            if *jobs == PART && round > 0 {
                load(&**opened, round * PART..(round + 1) * PART).await;
            }
            let seen = Seen::new(*jobs * plan.rounds.max(1), PART);
            let mut watch = Stopwatch::start(server, database).await;
            let worker = opened.start(Arc::clone(&seen), Work::Much).await;
            seen.done().await;
            watch.stop().await;
            worker.end().await;
            table.add(row, rate_only(watch.rate(PART)));
        }
    }
    table.print(&format!("the next {PART} jobs of a queue"));
    for (_, _, opened, _) in queues {
        opened.close().await;
    }
}

fn rate_only(rate: f64) -> Figure {
    Figure { rate, ..Figure::default() }
}
