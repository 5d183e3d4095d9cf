//! What a queue does when its server is killed, paused, emptied, or set up so that it would lose jobs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use uuid::Uuid;
use vip_adapters::redis::{OpenError, REDIS_QUEUE_BATCH, RedisConfig, RedisQueue};
use vip_core::conformance::job_queue::{claim, enqueue, job, kind, settle};
use vip_core::memory::ManualClock;
use vip_core::model::{InstallationId, JobKey, JobState, NewJob, PageLimit, PageRequest, Payload, Timestamp};
use vip_core::ports::{
    ClaimRequest, Durability, Enqueued, JobQueue, LeaseRef, QueueError, Retryability, Settled, Verdict,
};
use vip_tests::redis_server::RedisServer;
use vip_tests::site::pause;
use vip_tests::unreadable::{UNREADABLE_HINTS, an_unreadable_hint_costs_no_job, an_unreadable_job_hurts_no_other};

const SECOND: Duration = Duration::from_secs(1);

async fn open(server: &RedisServer) -> RedisQueue {
    RedisQueue::open(&server.url(), RedisConfig::queue()).await.unwrap()
}

/// Repeats a call until the server is found to be back.
async fn until_it_works<T>(mut call: impl AsyncFnMut() -> Result<T, QueueError>) -> T {
    for _ in 0..1000 {
        if let Ok(answer) = call().await {
            return answer;
        }
        pause(Duration::from_millis(5)).await;
    }
    call().await.unwrap()
}

#[tokio::test]
async fn a_server_that_throws_keys_away_or_writes_nothing_down_is_refused_unless_told_to() {
    for (setting, value) in [("--maxmemory-policy", "allkeys-lru"), ("--appendonly", "no")] {
        let server = RedisServer::start_with(&[setting, value]);
        let error = RedisQueue::open(&server.url(), RedisConfig::queue()).await.unwrap_err();
        assert!(matches!(error, OpenError::UnsafeServer { .. }), "{setting}: {error:?}");
        let allowed = RedisQueue::open(&server.url(), RedisConfig::queue().allow_unsafe_server()).await.unwrap();
        assert_eq!(allowed.durability(), Durability::Volatile, "{setting}");
        assert_eq!(enqueue(&allowed, job("a")).await, Enqueued::Inserted);
    }
    let durability = open(&RedisServer::start()).await.durability();
    assert!(matches!(durability, Durability::BoundedLoss { .. }), "{durability:?}");
}

#[tokio::test]
async fn a_queue_of_one_installation_is_refused_to_another_and_shared_by_its_own() {
    let server = RedisServer::start();
    let [own, other] = [1, 2].map(|number| InstallationId::from_uuid(Uuid::from_u128(number)));
    let first = open(&server).await.for_installation(own).await.unwrap();
    assert_eq!(enqueue(&first, job("a")).await, Enqueued::Inserted);
    let error = open(&server).await.for_installation(other).await.unwrap_err();
    assert!(matches!(&error, OpenError::OtherStore { owner, .. } if *owner == own.to_string()), "{error:?}");
    assert!(open(&server).await.for_installation(own).await.is_ok());
    let named = RedisQueue::open(&server.url(), RedisConfig::queue().name("staging")).await.unwrap();
    assert!(named.for_installation(other).await.is_ok());
}

#[tokio::test]
async fn a_server_whose_settings_became_unsafe_is_refused_at_the_next_connection() {
    let mut server = RedisServer::start_with(&["--appendfsync", "always"]);
    let queue = open(&server).await;
    assert_eq!(enqueue(&queue, job("a")).await, Enqueued::Inserted);
    server.change_settings(&["--maxmemory-policy", "volatile-lru"]);
    server.restart();
    let error = timeout(5 * SECOND, async {
        loop {
            let error = queue.enqueue(&[job("b")]).await.unwrap_err();
            if format!("{error:?}").contains("Unsafe") {
                return error;
            }
            pause(Duration::from_millis(5)).await;
        }
    });
    assert!(matches!(error.await.unwrap(), QueueError::Unavailable { .. }));
    server.change_settings(&[]);
    server.restart();
    assert_eq!(until_it_works(async || queue.enqueue(&[job("b")]).await).await, [Enqueued::Inserted]);
}

#[tokio::test]
async fn jobs_and_leases_outlive_a_killed_server_and_its_clients_reconnect() {
    let mut server = RedisServer::start_with(&["--appendfsync", "always"]);
    let queue = open(&server).await;
    queue.enqueue(&[job("a"), job("b")]).await.unwrap();
    let lease = claim(&queue, 1).await[0].lease.reference;
    server.kill();
    let error = queue.enqueue(&[job("c")]).await.unwrap_err();
    assert!(matches!(error, QueueError::OutcomeUnknown { .. } | QueueError::Unavailable { .. }), "{error:?}");
    server.restart();
    assert_eq!(until_it_works(async || queue.heartbeat(&[lease], SECOND).await).await, [true]);
    assert_eq!(settle(&queue, lease, Verdict::Done).await, Settled::Applied);
    assert_eq!(claim(&queue, 9).await.len(), 1);
}

#[tokio::test]
async fn a_call_to_a_paused_server_is_of_unknown_outcome_and_ends_in_time() {
    let server = RedisServer::start();
    let config = RedisConfig::queue().answer_deadline(Duration::from_millis(100));
    let queue = RedisQueue::open(&server.url(), config).await.unwrap();
    // The script is known to the server from here on; whoever sees to that is in no hurry.
    assert_eq!(enqueue(&open(&server).await, job("first")).await, Enqueued::Inserted);
    server.pause();
    let begin = Instant::now();
    let error = queue.enqueue(&[job("a")]).await.unwrap_err();
    assert!(matches!(error, QueueError::OutcomeUnknown { .. }), "{error:?}");
    assert!(begin.elapsed() < 2 * SECOND);
    let error = queue.enqueue(&[job("a")]).await.unwrap_err();
    assert!(matches!(error, QueueError::Unavailable { .. }), "left alone for a moment: {error:?}");
    server.resume();
    let answers = until_it_works(async || queue.enqueue(&[job("a")]).await).await;
    assert_eq!(answers, [Enqueued::Merged], "it was done after all, and the repeat changed nothing");
}

#[tokio::test]
async fn epochs_rise_over_a_flush_and_an_old_lease_changes_nothing_afterwards() {
    let server = RedisServer::start();
    let queue = open(&server).await;
    let again = job("a");
    assert_eq!(enqueue(&queue, again.clone()).await, Enqueued::Inserted);
    let before = claim(&queue, 1).await[0].lease.reference;
    server.flush();
    let scripts_gone: String = server.ask(&["SCRIPT", "FLUSH"]);
    assert_eq!(scripts_gone, "OK");
    assert_eq!(enqueue(&queue, again).await, Enqueued::Inserted);
    let after = claim(&queue, 1).await[0].lease.reference;
    assert!(after.epoch > before.epoch && after.job == before.job);
    assert_eq!(settle(&queue, before, Verdict::Done).await, Settled::Stale);
    assert_eq!(settle(&queue, after, Verdict::Done).await, Settled::Applied);
}

/// The next queue begins at its own clock, and no claim of it could write what was held under the lost one.
#[tokio::test]
async fn epochs_are_raised_above_those_of_a_lost_queue_whose_clock_was_ahead() {
    let server = RedisServer::start();
    let now = Timestamp::from_micros(1_790_000_000_000_000);
    let clock = Arc::new(ManualClock::new(now.plus(Duration::from_secs(365 * 86_400))));
    let queue = RedisQueue::open(&server.url(), RedisConfig::queue().clock(Arc::clone(&clock) as _)).await.unwrap();
    assert_eq!(enqueue(&queue, job("a")).await, Enqueued::Inserted);
    let ahead = claim(&queue, 1).await[0].lease.reference.epoch;
    server.flush();
    clock.set(now);
    assert_eq!(enqueue(&queue, job("a")).await, Enqueued::Inserted);
    let behind = claim(&queue, 1).await[0].lease.reference;
    assert!(behind.epoch < ahead);
    assert!(queue.raise_epochs(ahead).await.unwrap() && !queue.raise_epochs(ahead).await.unwrap());
    assert_eq!(settle(&queue, behind, Verdict::Snooze { delay: Duration::ZERO }).await, Settled::Applied);
    assert_eq!(claim(&queue, 1).await[0].lease.reference.epoch, ahead + 1);
}

#[tokio::test]
async fn a_claim_that_is_granted_after_the_deadline_of_other_calls_brings_its_job_however_often() {
    let server = RedisServer::start();
    let hurried = async || {
        let config = RedisConfig::queue().answer_deadline(Duration::from_millis(500));
        RedisQueue::open(&server.url(), config).await.unwrap()
    };
    let (queue, other, patient) = (hurried().await, hurried().await, open(&server).await);
    assert_eq!(enqueue(&patient, job("a")).await, Enqueued::Inserted);
    // Once more than a job may lose its worker.
    for _ in 0..6 {
        server.pause();
        let resumed = async {
            // Sent after the claim, with a deadline that would be over later than that of the claim.
            let error = other.stats(&[]).await.unwrap_err();
            server.resume();
            error
        };
        let (claimed, error) = tokio::join!(claim(&queue, 1), resumed);
        assert_ne!(error.retryability(), Retryability::Permanent, "{error:?}");
        assert_eq!(claimed.iter().map(|one| one.job.counts.rescues).collect::<Vec<_>>(), [0]);
        assert_eq!(settle(&patient, claimed[0].lease.reference, Verdict::Release).await, Settled::Applied);
    }
}

#[tokio::test]
async fn a_claim_whose_connection_breaks_waits_no_longer() {
    let mut server = RedisServer::start();
    let queue = open(&server).await;
    assert_eq!(enqueue(&queue, job("a")).await, Enqueued::Inserted);
    server.pause();
    let request = ClaimRequest {
        kinds: vec![kind("test")],
        most: 1,
        lease: 60 * SECOND,
        claim: vip_core::conformance::claim_id(),
    };
    let broken = async { tokio::join!(queue.claim(&request), async { server.kill() }).0 };
    let error = timeout(20 * SECOND, broken).await.unwrap().unwrap_err();
    assert!(matches!(error, QueueError::OutcomeUnknown { .. } | QueueError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_full_server_takes_nothing_and_breaks_nothing() {
    let server = RedisServer::start();
    let queue = open(&server).await;
    assert_eq!(enqueue(&queue, job("a")).await, Enqueued::Inserted);
    assert_eq!(enqueue(&queue, job("held")).await, Enqueued::Inserted);
    let held = claim(&queue, 2).await.into_iter().find(|it| it.job.key.as_str() == "held").unwrap().lease.reference;
    let other = queue.find(&JobKey::new("a").unwrap()).await.unwrap().unwrap();
    let other = LeaseRef { job: other.id, epoch: other.epoch, claim: other.claim.unwrap() };
    settle(&queue, other, Verdict::Release).await;
    let set: String = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(set, "OK");
    for _ in 0..3 {
        let error = queue.enqueue(&[job("b")]).await.unwrap_err();
        assert!(matches!(error, QueueError::Unavailable { .. }), "{error:?}");
        // At once: what was refused locks nobody out.
        assert_eq!(queue.heartbeat(&[held], SECOND).await.unwrap(), [true], "who lets go of jobs can hold them, too");
    }
    assert!(queue.enqueue(&[job("b")]).await.is_err());
    assert_eq!(settle(&queue, held, Verdict::Done).await, Settled::Applied, "what empties it gets through");
    let set: String = server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(set, "OK");
    assert!(queue.find(&JobKey::new("b").unwrap()).await.unwrap().is_none());
    assert_eq!(queue.stats(&[]).await.unwrap().due, 1);
    assert_eq!(claim(&queue, 9).await.len(), 1);
}

#[tokio::test]
async fn a_hint_that_cannot_be_given_makes_nothing_look_undone() {
    let server = RedisServer::start();
    let queue = open(&server).await;
    assert_eq!(enqueue(&queue, job("a")).await, Enqueued::Inserted);
    let found: Vec<String> = server.ask(&["KEYS", "*bell:test"]);
    let [bell] = found.as_slice() else { panic!("{found:?}") };
    let set: String = server.ask(&["SET", bell, "somebody else's"]);
    assert_eq!(set, "OK");
    assert_eq!(enqueue(&queue, job("b")).await, Enqueued::Inserted);
    assert_eq!(claim(&queue, 1).await.len(), 1);
}

#[tokio::test]
async fn a_batch_of_the_largest_size_is_taken_whole_and_a_larger_one_not_at_all() {
    let server = RedisServer::start();
    let queue = open(&server).await;
    let jobs: Vec<NewJob> = (0..=REDIS_QUEUE_BATCH).map(|number| job(&format!("k{number}"))).collect();
    let error = queue.enqueue(&jobs).await.unwrap_err();
    assert!(matches!(error, QueueError::Corrupt { .. }), "{error:?}");
    assert_eq!(queue.stats(&[]).await.unwrap().due, 0, "nothing of it");
    assert_eq!(queue.enqueue(&jobs[1..]).await.unwrap().len(), REDIS_QUEUE_BATCH);
    assert_eq!(enqueue(&queue, jobs[0].clone()).await, Enqueued::Inserted);
    let claimed = claim(&queue, u32::MAX).await;
    assert_eq!(claimed.len(), REDIS_QUEUE_BATCH, "one script gives no more");
    let rest = claim(&queue, u32::MAX).await;
    let leases: Vec<_> = claimed.iter().chain(&rest).map(|one| one.lease.reference).collect();
    assert_eq!(queue.heartbeat(&leases, SECOND).await.unwrap(), vec![true; REDIS_QUEUE_BATCH + 1]);
}

#[tokio::test]
async fn a_payload_of_the_largest_size_comes_back_as_it_was() {
    let server = RedisServer::start();
    let queue = open(&server).await;
    let text = "x".repeat(vip_core::model::limits::JOB_PAYLOAD_BYTES);
    let mut large = job("large");
    large.payload = Payload::from_text(text.clone()).unwrap();
    assert_eq!(enqueue(&queue, large).await, Enqueued::Inserted);
    assert_eq!(claim(&queue, 1).await[0].job.payload.as_str(), text);
}

#[tokio::test]
async fn a_list_goes_past_hundreds_of_jobs_in_another_state() {
    let server = RedisServer::start();
    let queue = open(&server).await;
    for batch in 0..3 {
        let jobs: Vec<NewJob> = (0..200).map(|number| job(&format!("k{}", batch * 200 + number))).collect();
        queue.enqueue(&jobs).await.unwrap();
    }
    let leased = claim(&queue, 256).await.len() + claim(&queue, 256).await.len() + claim(&queue, 38).await.len();
    let mut request = PageRequest::first(PageLimit::new(20).unwrap());
    let mut seen = 0;
    for _ in 0..100 {
        let page = queue.list(JobState::Waiting, &request).await.unwrap();
        seen += page.items.len();
        assert!(page.items.iter().all(|job| job.state == JobState::Waiting));
        match page.next {
            Some(next) => request = PageRequest::after(next, PageLimit::new(20).unwrap()),
            None => break,
        }
    }
    assert_eq!((leased, seen), (550, 50));
}

async fn claims_nothing(queue: &RedisQueue) {
    let claim = vip_core::conformance::claim_id();
    let request = ClaimRequest { kinds: vec![kind("test")], most: 1, lease: SECOND, claim };
    assert!(queue.claim(&request).await.unwrap().is_empty());
}

/// The client's own time-out would end the blocking call after half a second.
#[tokio::test]
async fn a_worker_that_waits_for_seconds_is_woken_at_once_by_another_process() {
    let server = RedisServer::start();
    let (worker, other) = (open(&server).await, open(&server).await);
    claims_nothing(&worker).await;
    let begin = Instant::now();
    let enqueued = async {
        pause(Duration::from_millis(1200)).await;
        assert_eq!(enqueue(&other, job("a")).await, Enqueued::Inserted);
    };
    tokio::join!(worker.wait(30 * SECOND), enqueued);
    let waited = begin.elapsed();
    assert!(waited >= Duration::from_millis(1200) && waited < 5 * SECOND, "{waited:?}");
    assert_eq!(claim(&worker, 1).await.len(), 1);
}

#[tokio::test]
async fn a_wait_ends_when_a_job_becomes_due_and_not_by_one_of_an_unknown_kind() {
    let server = RedisServer::start();
    let queue = open(&server).await;
    claims_nothing(&queue).await;
    let mut unknown = job("unknown");
    unknown.kind = kind("unknown");
    assert_eq!(enqueue(&queue, unknown).await, Enqueued::Inserted);
    let begin = Instant::now();
    queue.wait(Duration::from_millis(300)).await;
    assert!(begin.elapsed() >= Duration::from_millis(299), "{:?}", begin.elapsed());
    let mut later = job("later");
    later.delay = Duration::from_millis(400);
    assert_eq!(enqueue(&queue, later).await, Enqueued::Inserted);
    // The stroke that says when to look again; then the time itself.
    queue.wait(30 * SECOND).await;
    claims_nothing(&queue).await;
    let begin = Instant::now();
    queue.wait(30 * SECOND).await;
    assert!(begin.elapsed() < 5 * SECOND, "{:?}", begin.elapsed());
    assert_eq!(claim(&queue, 1).await.len(), 1);
}

#[tokio::test]
async fn a_wait_that_is_dropped_or_has_no_server_holds_nobody_up() {
    let mut server = RedisServer::start();
    let queue = open(&server).await;
    claims_nothing(&queue).await;
    for _ in 0..3 {
        assert!(timeout(Duration::from_millis(50), queue.wait(30 * SECOND)).await.is_err());
    }
    assert_eq!(enqueue(&queue, job("a")).await, Enqueued::Inserted);
    server.kill();
    let begin = Instant::now();
    queue.wait(Duration::from_millis(200)).await;
    assert!(begin.elapsed() >= Duration::from_millis(199), "a server that is away makes no busy loop");
    assert!(begin.elapsed() < 5 * SECOND);
}

#[tokio::test]
async fn a_job_that_cannot_be_read_hurts_no_other() {
    let server = RedisServer::start();
    let damage = async |id: vip_core::model::JobId| {
        let jobs: Vec<String> = server.ask(&["KEYS", &format!("*:job:{id}")]);
        assert_eq!(jobs.len(), 1);
        assert_eq!(
            server.ask::<i64>(&["HSET", &jobs[0], "tenant", "no name at all"]),
            0,
            "it was there and is another one now"
        );
    };
    an_unreadable_job_hurts_no_other(&open(&server).await, damage).await;
}

#[tokio::test]
async fn a_job_whose_hints_cannot_be_read_is_done_without_them() {
    let server = RedisServer::start();
    let damage = async |id: vip_core::model::JobId| {
        let jobs: Vec<String> = server.ask(&["KEYS", &format!("*:job:{id}")]);
        let [request, trace] = UNREADABLE_HINTS;
        let added: i64 = server.ask(&["HSET", &jobs[0], "request_id", request, "trace_parent", trace]);
        assert_eq!(added, 0, "they were there and are others now");
    };
    an_unreadable_hint_costs_no_job(&open(&server).await, damage).await;
}

#[tokio::test]
async fn a_job_of_a_program_that_knew_no_traces_is_read() {
    let server = RedisServer::start();
    let queue = open(&server).await;
    let old = job("a");
    assert_eq!(enqueue(&queue, old.clone()).await, Enqueued::Inserted);
    let jobs: Vec<String> = server.ask(&["KEYS", &format!("*:job:{}", old.id)]);
    assert_eq!(server.ask::<i64>(&["HDEL", &jobs[0], "trace_parent"]), 1);
    let claimed = claim(&queue, 1).await;
    assert_eq!(claimed.first().map(|one| (one.job.id, one.job.trace_parent.clone())), Some((old.id, None)));
}
