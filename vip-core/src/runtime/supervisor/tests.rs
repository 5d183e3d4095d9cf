//! Loops that panic, end early, hang and stop, under the paused clock.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::ports::SeededRandomness;
use crate::telemetry::unwritable::unwritable;

fn supervisor() -> Supervisor {
    Supervisor::new(Arc::new(SeededRandomness::new(7)))
}

/// A loop that says each of its turns and makes one a second.
fn counting(supervisor: &Supervisor, name: &str, policy: LoopPolicy) -> (LoopHandle, mpsc::UnboundedReceiver<()>) {
    let (turns, seen) = mpsc::unbounded_channel();
    let handle = supervisor.spawn(name, policy, move |tick| {
        let turns = turns.clone();
        async move {
            while !tick.is_stopping() {
                tick.beat();
                turns.send(()).map_err(LoopError::new)?;
                tick.pause(Duration::from_secs(1)).await;
            }
            Ok(())
        }
    });
    (handle, seen)
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_named_loop_is_counted_and_the_loop_goes_on() {
    let supervisor = supervisor();
    let (_, mut one) = counting(&supervisor, "one", LoopPolicy::Critical);
    let (_, mut two) = counting(&supervisor, "two", LoopPolicy::Restartable);
    assert!(one.recv().await.is_some() && two.recv().await.is_some());
    for name in supervisor.names() {
        assert!(supervisor.provoke_panic(&name));
    }
    assert!(!supervisor.provoke_panic("three"));
    // Wait for the restarts: the turns before may have been sent already.
    for seen in [&mut one, &mut two] {
        while supervisor.statuses().iter().any(|status| status.restarts == 0) {
            assert!(seen.recv().await.is_some());
        }
        assert!(seen.recv().await.is_some());
    }
    for status in supervisor.statuses() {
        assert_eq!((status.restarts, status.panics, status.running), (1, 1, true), "{}", status.name);
        assert_eq!(status.last_failure.as_deref(), Some("panicked: provoked"));
    }
    let report = supervisor.health();
    assert!(report.iter().all(|part| part.status == HealthStatus::Degraded));
    tokio::time::advance(WINDOW).await;
    assert!(supervisor.health().iter().all(|part| part.status == HealthStatus::Ok), "a minute later it is forgotten");
    assert_eq!(supervisor.shutdown(Duration::from_secs(1)).await.tasks_left, 0);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_fails_while_the_log_cannot_be_written_is_started_again_and_given_up_like_any_other() {
    let _log = unwritable();
    let supervisor = supervisor();
    let (handle, mut seen) = counting(&supervisor, "one", LoopPolicy::Critical);
    assert!(seen.recv().await.is_some());
    assert!(supervisor.provoke_panic("one"));
    while handle.status().restarts == 0 {
        assert!(seen.recv().await.is_some(), "the loop is gone");
    }
    assert!(seen.recv().await.is_some());
    let broken = |_| async { Err(LoopError::new("the disk is gone")) };
    let broken = supervisor.spawn("broken", LoopPolicy::Critical, broken);
    assert_eq!(supervisor.failed().await.name, "broken");
    assert!(broken.status().given_up);
}

/// A randomness of a host that panics.
#[derive(Debug)]
struct Broken;

impl Randomness for Broken {
    fn next_u64(&self) -> u64 {
        panic!("a bug of the host")
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_fails_while_the_randomness_panics_is_started_again() {
    let supervisor = Supervisor::new(Arc::new(Broken));
    let (handle, mut seen) = counting(&supervisor, "one", LoopPolicy::Critical);
    assert!(seen.recv().await.is_some());
    assert!(supervisor.provoke_panic("one"));
    while handle.status().restarts == 0 {
        assert!(seen.recv().await.is_some(), "the loop is gone");
    }
    assert!(seen.recv().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_critical_loop_that_keeps_failing_is_given_up_and_says_why() {
    let supervisor = supervisor();
    let runs = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&runs);
    let handle = supervisor.spawn("broken", LoopPolicy::Critical, move |_| {
        let counter = Arc::clone(&counter);
        async move {
            counter.fetch_add(1, Ordering::SeqCst);
            Err(LoopError::new("the disk is gone"))
        }
    });
    let (_, mut other) = counting(&supervisor, "other", LoopPolicy::Critical);
    let failed = supervisor.failed().await;
    assert_eq!((failed.name.as_str(), failed.failures), ("broken", FAILURES));
    assert!(failed.last.ends_with("the disk is gone"), "{failed}");
    assert_eq!(runs.load(Ordering::SeqCst), u32::try_from(FAILURES).unwrap());
    handle.ended().await;
    assert!(handle.status().given_up && !handle.status().running);
    assert_eq!(supervisor.health()[0].status, HealthStatus::Down);
    assert!(other.recv().await.is_some(), "the others go on until the host ends them");
}

#[tokio::test(start_paused = true)]
async fn one_failure_fewer_than_the_bound_gives_no_loop_up() {
    let supervisor = supervisor();
    let runs = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&runs);
    let handle = supervisor.spawn("shaky", LoopPolicy::Critical, move |tick| {
        let run = counter.fetch_add(1, Ordering::SeqCst) + 1;
        async move {
            if usize::try_from(run).unwrap() < FAILURES {
                return Err(LoopError::new("not yet"));
            }
            tick.pause(Duration::MAX).await;
            Ok(())
        }
    });
    assert!(tokio::time::timeout(WINDOW, supervisor.failed()).await.is_err());
    assert!(handle.status().running);
}

#[tokio::test(start_paused = true)]
async fn failures_that_lie_apart_are_not_added_up_and_a_restartable_loop_is_never_given_up() {
    let supervisor = supervisor();
    let rare = supervisor.spawn("rare", LoopPolicy::Critical, |tick| async move {
        tick.pause(WINDOW).await;
        Err(LoopError::new("now and then"))
    });
    let stubborn =
        supervisor.spawn("stubborn", LoopPolicy::Restartable, |_| async { Err(LoopError::new("every time")) });
    assert!(tokio::time::timeout(30 * WINDOW, supervisor.failed()).await.is_err());
    assert!(rare.status().restarts > 20 && !rare.status().given_up);
    let restarts = stubborn.status().restarts;
    assert!(restarts > 60 && restarts < 200, "it waits up to 30 s between starts: {restarts}");
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_ends_though_nobody_told_it_to_is_started_again() {
    let supervisor = supervisor();
    let handle = supervisor.spawn("early", LoopPolicy::Restartable, |_| async { Ok(()) });
    while handle.status().restarts < 3 {
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(handle.status().last_failure.as_deref(), Some("ended though nobody told it to"));
}

#[tokio::test(start_paused = true)]
async fn one_loop_stops_before_the_others() {
    let supervisor = supervisor();
    let (first, _seen) = counting(&supervisor, "first", LoopPolicy::Critical);
    let (second, mut seen) = counting(&supervisor, "second", LoopPolicy::Critical);
    assert!(seen.recv().await.is_some());
    first.stop();
    first.ended().await;
    assert!(!first.status().running && second.status().running);
    assert_eq!(supervisor.tasks(), 1);
    assert_eq!(first.status().last_failure, None);
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_loops_aborts_the_hung_one_and_leaves_no_task() {
    let supervisor = supervisor();
    let (_, mut seen) = counting(&supervisor, "good", LoopPolicy::Critical);
    let hung = supervisor.spawn("hung", LoopPolicy::Critical, |_| std::future::pending());
    while !hung.status().running {
        assert!(seen.recv().await.is_some());
    }
    let begin = Instant::now();
    let stopped = supervisor.shutdown(Duration::from_secs(3)).await;
    assert_eq!((begin.elapsed(), stopped.tasks_left, supervisor.tasks()), (Duration::from_secs(3), 0, 0));
    let late = supervisor.spawn("late", LoopPolicy::Critical, |_| async { Err(LoopError::new("must not run")) });
    late.ended().await;
    assert_eq!(late.status().last_failure, None);
}

#[tokio::test(start_paused = true)]
async fn a_hung_loop_is_aborted_though_the_log_cannot_be_written() {
    let _log = unwritable();
    let supervisor = supervisor();
    let hung = supervisor.spawn("hung", LoopPolicy::Critical, |_| std::future::pending());
    let stopped = supervisor.shutdown(Duration::from_secs(3)).await;
    assert_eq!(stopped.tasks_left, 0);
    hung.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_waits_for_its_restart_stops_at_once() {
    let supervisor = supervisor();
    let handle = supervisor.spawn("broken", LoopPolicy::Restartable, |_| async { Err(LoopError::new("no")) });
    while handle.status().last_failure.is_none() {
        tokio::task::yield_now().await;
    }
    let begin = Instant::now();
    handle.stop();
    handle.ended().await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_supervisor_aborts_its_loops() {
    let supervisor = supervisor();
    let (handle, mut seen) = counting(&supervisor, "orphan", LoopPolicy::Critical);
    assert!(seen.recv().await.is_some());
    drop(supervisor);
    handle.ended().await;
    while seen.recv().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_taken_name_gets_a_number() {
    let supervisor = supervisor();
    for _ in 0..3 {
        counting(&supervisor, "claim", LoopPolicy::Restartable).0.stop();
    }
    assert_eq!(supervisor.names(), ["claim", "claim-2", "claim-3"]);
}
