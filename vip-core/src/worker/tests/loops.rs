//! A panic in each background loop: it is restarted, and work goes on.

use super::*;
use crate::runtime::LoopStatus;

fn status(bench: &Bench, name: &str) -> LoopStatus {
    bench.supervisor.statuses().into_iter().find(|status| status.name == name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_loops_of_a_worker_are_these() {
    assert_eq!(Bench::new().supervisor.names(), ["claim", "heartbeat", "settle", "reap"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_each_loop_in_turn_is_counted_and_jobs_are_still_done() {
    let names = Bench::new().supervisor.names();
    for name in names {
        let mut bench = Bench::new();
        bench.enqueue(0..4).await;
        let visits = bench.visit_many(4).await;
        assert!(bench.supervisor.provoke_panic(&name));
        visits[0].end(JobOutcome::Done);
        visits[1].end(JobOutcome::Snooze { delay: s(1) });
        let begin = tokio::time::Instant::now();
        while status(&bench, &name).restarts == 0 {
            assert!(begin.elapsed() < s(600), "it is not started again: {:?}", status(&bench, &name));
            tokio::time::advance(ms(1)).await;
        }
        // Longer than a lease: what was running keeps it, what ended is settled, what is new is claimed.
        bench.enqueue(4..6).await;
        let more = bench.visit_many(3).await;
        assert!(tokio::time::timeout(s(180), visits[2].over()).await.is_err());
        visits[2..].iter().chain(&more).for_each(|visit| visit.end(JobOutcome::Done));
        bench.until(|counts| counts.settled == 7).await;
        let counts = bench.worker.counts();
        assert_eq!((counts.claimed, counts.finished, counts.stale, counts.leases_lost), (7, 7, 0, 0), "{name}");
        let fared = status(&bench, &name);
        assert_eq!((fared.restarts, fared.panics, fared.running), (1, 1, true), "{name}");
        let report = bench.shutdown(s(5)).await;
        assert!(report.is_clean() && report.to_string().contains(&format!("loop {name} restarted 1 times")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_claims_cannot_be_kept_up_fails_its_supervisor_but_still_hands_everything_back() {
    let mut bench = Bench::new();
    bench.enqueue(0..1).await;
    let _visit = bench.visit().await;
    let failed = {
        let failed = bench.supervisor.failed();
        tokio::pin!(failed);
        let begin = tokio::time::Instant::now();
        loop {
            assert!(begin.elapsed() < s(600), "it is not given up: {:?}", status(&bench, "claim"));
            bench.supervisor.provoke_panic("claim");
            tokio::select! {
                biased;
                failed = &mut failed => break failed,
                () = tokio::time::advance(ms(500)) => {}
            }
        }
    };
    assert_eq!(failed.name, "claim");
    let report = bench.shutdown(Duration::ZERO).await;
    assert_eq!((report.cancelled, report.tasks_left), (1, 0));
    assert_eq!(bench.queue.stats(&[]).await.unwrap().leased, 0);
}
