//! Runs a job kind of your own on the same worker: typed payload, pauses, retries with back-off, dead letters and replay.
//!
//! `cargo test --example custom_job` shows how its handler is tested without a worker.

use std::time::Duration;

use tokio::sync::mpsc;
use vip_adapters::vip_core::Provisioner;
use vip_adapters::vip_core::memory::{MemoryProvider, memory_backend};
use vip_adapters::vip_core::model::{JobKey, JobKind, JobState, NewJob, PageLimit, PageRequest, Payload};
use vip_adapters::vip_core::ports::Enqueued;
use vip_adapters::vip_core::worker::{Attempt, JobHandler, JobOutcome};

/// First and longest pause while the mail server is away. Begin with 30 s where nobody watches.
const AWAY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(600));
/// Longest time that sending one invoice may take.
const SENDING: Duration = Duration::from_secs(10);

/// Is what the job is told. A field that is added later needs a default, so that older jobs stay readable.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct SendInvoice {
    invoice: u32,
    address: String,
}

/// Sends invoices; the mail server is away at its first try, and at the next one its template cannot be filled in.
///
/// It shares the worker's 16 places (`WorkerConfig::concurrency`) with orders and sweeps. A handler that takes minutes holds one that
/// these need: raise it by as many as run at once, or do the long part elsewhere and `Snooze` until it is done.
#[derive(Debug)]
struct Mailer {
    kind: JobKind,
    sent: mpsc::UnboundedSender<u32>,
}

#[async_trait::async_trait]
impl JobHandler for Mailer {
    type Payload = SendInvoice;

    fn kind(&self) -> JobKind {
        self.kind.clone()
    }

    async fn run(&self, payload: SendInvoice, attempt: &Attempt) -> JobOutcome {
        if payload.address.is_empty() {
            // Trying again cannot help: the job is kept as a dead letter until somebody replays it.
            return JobOutcome::Dead { code: "no_address".to_owned() };
        }
        let counts = attempt.job().counts;
        if counts.snoozes == 0 {
            // An outage burns nothing, however long it lasts; the pause grows.
            return JobOutcome::Snooze { delay: pause(counts.snoozes) };
        }
        if attempt.number() == 1 {
            // A bug burns an attempt, so that it does not go on for ever: after 20 the job is dead.
            return JobOutcome::Retry { code: "template_broken".to_owned(), delay: None };
        }
        // Whoever goes on with a lease that is over sends beside a successor.
        if attempt.is_stopping() || attempt.guard(SENDING).is_err() {
            return JobOutcome::Release;
        }
        // A crash from here on, or a second job under the key, would send it twice. Where that matters, write down what is sent
        // (in a table of your own, or by an idempotency key of the mail server) and look there first.
        println!("invoice {} sent by attempt {}", payload.invoice, attempt.number());
        match self.sent.send(payload.invoice) {
            Ok(()) => JobOutcome::Done,
            Err(_closed) => JobOutcome::Release,
        }
    }
}

/// Returns the pause after so many others.
fn pause(snoozes: u32) -> Duration {
    AWAY.0.saturating_mul(1_u32 << snoozes.min(20)).min(AWAY.1)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (sent, mut invoices) = mpsc::unbounded_channel();
    let kind = JobKind::new("shop.send_invoice")?;
    let provisioner = Provisioner::builder(memory_backend())
        .provider(MemoryProvider::default())
        .handler(Mailer { kind: kind.clone(), sent })
        .start()
        .await?;
    let operator = provisioner.operator();
    for (invoice, address) in [(1, "ops@example.com"), (2, "")] {
        let payload = Payload::encode(&SendInvoice { invoice, address: address.to_owned() })?;
        // While it waits, a key is one job. Once that runs or is done, the same job enqueued again is sent again.
        let key = JobKey::new(format!("invoice:{invoice}"))?;
        let job = NewJob::new(operator.job_id(), key, kind.clone(), payload);
        if operator.enqueue(job).await? == Enqueued::Conflict {
            return Err(format!("another job stands under the key of invoice {invoice}: this one is not sent").into());
        }
    }
    println!("invoice {:?} arrived", invoices.recv().await);

    let dead = loop {
        let dead = operator.jobs(JobState::Dead, &PageRequest::first(PageLimit::most())).await?;
        if let Some(job) = dead.items.into_iter().next() {
            break job;
        }
        tokio::task::yield_now().await;
    };
    println!("job {} is dead: {:?}; replay it once its cause is gone", dead.key, dead.last_error);
    println!("replayed: {}", operator.replay(dead.id).await?);
    println!("{}", provisioner.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

#[cfg(test)]
mod tests {
    use vip_adapters::vip_core::model::{AttemptCounts, Job, Timestamp};
    use vip_adapters::vip_core::ports::{Claimed, Lease, LeaseRef};

    use super::*;

    /// An id, whichever it is.
    const ID: &str = "00000000-0000-4000-8000-000000000001";

    /// Makes the attempt of a job that has come to this by now, under a lease of a minute.
    fn attempt(snoozes: u32, attempts: u32) -> Attempt {
        let (key, kind) = (JobKey::new("invoice:1").unwrap(), JobKind::new("shop.send_invoice").unwrap());
        let new = NewJob::new(ID.parse().unwrap(), key, kind, Payload::encode(&invoice()).unwrap());
        let mut job = Job::waiting(new, Timestamp::default());
        job.counts = AttemptCounts { attempts, snoozes, rescues: 0 };
        let reference = LeaseRef { job: job.id, epoch: 1, claim: ID.parse().unwrap() };
        let lease = Lease { reference, duration: Duration::from_secs(60) };
        Attempt::for_test(Claimed { job, lease }, Duration::from_secs(5))
    }

    fn invoice() -> SendInvoice {
        SendInvoice { invoice: 1, address: "ops@example.com".to_owned() }
    }

    /// Runs an attempt; returns how it ended, and the invoice that was sent, if any.
    async fn run(attempt: &Attempt) -> (JobOutcome, Option<u32>) {
        let (sent, mut invoices) = mpsc::unbounded_channel();
        let mailer = Mailer { kind: attempt.job().kind.clone(), sent };
        let outcome = mailer.run(invoice(), attempt).await;
        (outcome, invoices.try_recv().ok())
    }

    #[tokio::test]
    async fn an_outage_pauses_it_and_a_bug_burns_an_attempt() {
        assert_eq!(run(&attempt(0, 0)).await, (JobOutcome::Snooze { delay: AWAY.0 }, None));
        assert!(pause(1) > pause(0) && pause(u32::MAX) == AWAY.1, "the pause grows, and not for ever");
        let burned = JobOutcome::Retry { code: "template_broken".to_owned(), delay: None };
        assert_eq!(run(&attempt(1, 0)).await, (burned, None));
        assert_eq!(run(&attempt(1, 1)).await, (JobOutcome::Done, Some(1)));
    }

    #[tokio::test]
    async fn nothing_is_sent_without_a_lease_or_by_a_worker_that_stops() {
        let (lost, stopping) = (attempt(1, 1), attempt(1, 1));
        lost.lose_lease();
        assert_eq!(run(&lost).await, (JobOutcome::Release, None));
        stopping.stop();
        assert_eq!(run(&stopping).await, (JobOutcome::Release, None));
    }
}
