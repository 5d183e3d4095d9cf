//! What a queue does with a job that nobody can read, the same for each adapter.

use std::time::Duration;

use vip_core::conformance::job_queue::{claim, job, settle};
use vip_core::model::{JobId, JobKey, JobState, PageLimit, PageRequest};
use vip_core::ports::{JobQueue, Settled, Verdict};

/// Enqueues five jobs and has the third one damaged: the others are claimed at once, it is counted among the dead, hides no
/// other in a list, and can be removed by its key.
///
/// # Panics
///
/// If it is not so.
pub async fn an_unreadable_job_hurts_no_other(queue: &dyn JobQueue, damage: impl AsyncFnOnce(JobId)) {
    let jobs = ["a", "b", "c", "d", "e"].map(job);
    queue.enqueue(&jobs).await.expect("they are enqueued");
    damage(jobs[2].id).await;
    let mut claimed = claim(queue, 10).await;
    claimed.sort_by(|one, other| one.job.key.as_str().cmp(other.job.key.as_str()));
    let keys: Vec<&str> = claimed.iter().map(|claimed| claimed.job.key.as_str()).collect();
    assert_eq!(keys, ["a", "b", "d", "e"]);
    let leases: Vec<_> = claimed.iter().map(|claimed| claimed.lease.reference).collect();
    let held = queue.heartbeat(&leases, Duration::from_secs(60)).await.expect("they are prolonged");
    assert_eq!(held, [true; 4], "the leases of the others are whole");
    let stats = queue.stats(&[]).await.expect("they are counted");
    assert_eq!((stats.dead, stats.leased, stats.due), (1, 4, 0), "an operator sees it among the dead");
    for (place, lease) in leases.iter().enumerate() {
        let verdict = if place == 0 { Verdict::Dead { code: "bad".to_owned() } } else { Verdict::Done };
        assert_ne!(settle(queue, *lease, verdict).await, Settled::Stale);
    }
    let page = PageRequest::first(PageLimit::new(1).expect("a limit"));
    let (mut dead, mut next) = (Vec::new(), Some(page));
    while let Some(page) = next {
        let found = queue.list(JobState::Dead, &page).await.expect("the dead are listed");
        dead.extend(found.items.into_iter().map(|job| job.key.as_str().to_owned()));
        next = found.next.map(|after| PageRequest::after(after, PageLimit::new(1).expect("a limit")));
    }
    assert_eq!(dead, ["a"], "the list goes on behind it");
    assert!(queue.cancel(&JobKey::new("c").expect("a key")).await.expect("it is removed"));
    assert_eq!(queue.stats(&[]).await.expect("they are counted").dead, 1);
}
