//! Runs a job kind of your own on the same worker: typed payload, retries with back-off, dead letters and replay.

use std::time::Duration;

use tokio::sync::mpsc;
use vip_adapters::vip_core::Provisioner;
use vip_adapters::vip_core::memory::{MemoryProvider, memory_backend};
use vip_adapters::vip_core::model::{JobKey, JobKind, JobState, NewJob, PageLimit, PageRequest, Payload};
use vip_adapters::vip_core::ports::Enqueued;
use vip_adapters::vip_core::worker::{Attempt, JobHandler, JobOutcome};

/// Is what the job is told. A field that is added later needs a default, so that older jobs stay readable.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct SendInvoice {
    invoice: u32,
    address: String,
}

/// Sends invoices; its first try fails, as with a mail server that is just restarting.
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
        if attempt.number() == 1 {
            return JobOutcome::Retry { code: "mail_server_down".to_owned(), delay: None };
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
