//! The contract of `JobQueue` about where a job comes from.
#![expect(missing_docs, reason = "a case is documented by the contract bullet that names it")]

use crate::model::{Job, JobState, NewJob, PageLimit, PageRequest, RequestId, TenantId, TraceParent};
use crate::ports::{Enqueued, JobQueue, Settled, Verdict};

use super::fixture::BackendFixture;
use super::job_queue::{claim, enqueue, job, settle};

fn named(key: &str, trace: &str) -> NewJob {
    let mut job = job(key);
    job.tenant = Some(TenantId::new("acme").unwrap());
    job.request_id = Some(RequestId::new(format!("request-of-{key}")).unwrap());
    job.trace_parent = Some(TraceParent::new(format!("00-{trace}-00f067aa0ba902b7-01")).unwrap());
    job
}

fn origin(job: &Job) -> (Option<TenantId>, Option<RequestId>, Option<TraceParent>) {
    (job.tenant.clone(), job.request_id.clone(), job.trace_parent.clone())
}

async fn listed(queue: &dyn JobQueue, state: JobState) -> Job {
    let page = queue.list(state, &PageRequest::first(PageLimit::most())).await.unwrap();
    page.items.into_iter().find(|job| job.key.as_str() == "named").unwrap()
}

pub async fn a_job_says_who_asked_for_it(fixture: &dyn BackendFixture) {
    let queue = fixture.queue();
    let new = named("named", "4bf92f3577b34da6a3ce929d0e0e4736");
    let asked = (new.tenant.clone(), new.request_id.clone(), new.trace_parent.clone());
    assert_eq!(queue.enqueue(&[new.clone(), job("nameless")]).await.unwrap().len(), 2);
    assert_eq!(origin(&queue.find(&new.key).await.unwrap().unwrap()), asked);
    // Whoever finds it there leaves it whose it is.
    let other = named("named", "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(enqueue(queue, other).await, Enqueued::Merged);
    assert_eq!(origin(&listed(queue, JobState::Waiting).await), asked);
    for claimed in claim(queue, 10).await {
        let is_named = claimed.job.key == new.key;
        assert_eq!(origin(&claimed.job), if is_named { asked.clone() } else { (None, None, None) });
        let dead = Verdict::Dead { code: "bad".to_owned() };
        assert_eq!(settle(queue, claimed.lease.reference, dead).await, Settled::Died);
    }
    assert_eq!(origin(&listed(queue, JobState::Dead).await), asked);
}
