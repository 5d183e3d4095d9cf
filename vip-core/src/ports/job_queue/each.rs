//! Enqueues many jobs so that one which a queue cannot take keeps no other back.

use super::{Enqueued, JobQueue, QueueError};
use crate::model::NewJob;
use crate::ports::Retryability;

/// Is what became of each job, in order.
#[derive(Debug)]
pub(crate) struct Each {
    /// The answers; an error stands for a job that the queue cannot take.
    pub(crate) answers: Vec<Result<Enqueued, QueueError>>,
    /// Why there are fewer answers than jobs: the queue itself failed, and the rest was not handed over.
    pub(crate) failure: Option<QueueError>,
}

/// Enqueues all jobs at once, or each by itself if the queue cannot take one of them.
pub(crate) async fn enqueue_each(queue: &dyn JobQueue, jobs: &[NewJob]) -> Each {
    match queue.enqueue(jobs).await {
        Ok(answers) => return Each { answers: answers.into_iter().map(Ok).collect(), failure: None },
        // Each job is asked about again, and whichever it is says so.
        Err(error) if error.retryability() == Retryability::Permanent => drop(error),
        Err(error) => return Each { answers: Vec::new(), failure: Some(error) },
    }
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        match queue.enqueue(std::slice::from_ref(job)).await {
            Ok(answer) => answers.extend(answer.into_iter().next().map(Ok)),
            Err(error) if error.retryability() == Retryability::Permanent => answers.push(Err(error)),
            Err(error) => return Each { answers, failure: Some(error) },
        }
    }
    Each { answers, failure: None }
}
