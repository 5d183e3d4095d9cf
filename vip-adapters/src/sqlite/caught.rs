//! Keeps a panic from ending a task that nobody starts again.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// Stands for a message that was formatted: it may hold what a log must not. The panic hook has shown it already.
const WITHHELD: &str = "a message with values";

/// Does work to its end, or up to a panic in it; answers what the panic said. What the work held is dropped either way.
///
/// What it borrowed may be left halfway: the caller puts that right.
pub(super) async fn caught(work: impl Future<Output = ()> + Send) -> Result<(), &'static str> {
    let mut work = pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(panic.downcast_ref::<&'static str>().copied().unwrap_or(WITHHELD))),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_panic_after_a_wait_is_caught_and_what_the_work_held_is_dropped() {
        let (held, secret) = (Arc::new(()), "s3cret");
        let same = Arc::clone(&held);
        let literal = async move {
            tokio::task::yield_now().await;
            assert!(black_box(false), "a literal");
            drop(same);
        };
        assert_eq!(caught(literal).await, Err("a literal"));
        assert_eq!(Arc::strong_count(&held), 1);
        let formatted = async move { assert!(black_box(false), "with {secret}") };
        assert_eq!(caught(formatted).await, Err(WITHHELD));
        assert_eq!(caught(tokio::task::yield_now()).await, Ok(()));
    }
}
