//! Lets calls that come within a short time share one request.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

/// Collects keys for a while; whoever came first asks for all.
#[derive(Debug)]
pub(super) struct Gather<K, V> {
    window: Duration,
    most: usize,
    open: Mutex<Option<Arc<Batch<K, V>>>>,
}

/// Is what waits for one leader.
#[derive(Debug)]
struct Batch<K, V>(Mutex<Vec<(K, oneshot::Sender<V>)>>);

/// Is the part of a caller.
enum Part<K, V> {
    /// It came first and asks for all.
    Lead(Arc<Batch<K, V>>),
    /// It came later and waits for its answer.
    Follow(oneshot::Receiver<V>),
}

impl<K: Clone, V> Gather<K, V> {
    /// Collects for `window`, at most `most` keys beside the first.
    pub(super) const fn new(window: Duration, most: usize) -> Self {
        Self { window, most, open: Mutex::new(None) }
    }

    /// Asks for a key together with others; `ask` gets all keys, the caller's first, and answers in their order.
    ///
    /// None means that whoever asked for all went away: the caller asks for itself then.
    ///
    /// # Cancel safety
    ///
    /// When the first caller is dropped, those who wait for it get none.
    pub(super) async fn join<F, R>(&self, key: K, ask: F) -> Option<V>
    where
        F: FnOnce(Vec<K>) -> R,
        R: Future<Output = Vec<V>>,
    {
        match self.part(&key) {
            Part::Follow(answer) => answer.await.ok(),
            Part::Lead(batch) => {
                let lead = Lead { gather: self, batch };
                tokio::time::sleep(self.window).await;
                let others = lead.close();
                let mut keys = vec![key];
                keys.extend(others.iter().map(|(key, _)| key.clone()));
                let mut answers = ask(keys).await.into_iter();
                let own = answers.next();
                for ((_, waiting), answer) in others.into_iter().zip(answers) {
                    // Who waited may have gone away; nobody misses the answer then.
                    drop(waiting.send(answer));
                }
                own
            }
        }
    }

    fn part(&self, key: &K) -> Part<K, V> {
        let mut open = self.lock();
        if let Some(batch) = open.as_ref() {
            let mut waiting = batch.0.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() < self.most {
                let (sender, receiver) = oneshot::channel();
                waiting.push((key.clone(), sender));
                return Part::Follow(receiver);
            }
        }
        let batch = Arc::new(Batch(Mutex::new(Vec::new())));
        *open = Some(batch.clone());
        Part::Lead(batch)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Batch<K, V>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leads a batch; when it goes away nobody joins the batch any more, and who waits in it is told.
struct Lead<'a, K: Clone, V> {
    gather: &'a Gather<K, V>,
    batch: Arc<Batch<K, V>>,
}

impl<K: Clone, V> Lead<'_, K, V> {
    /// Closes the batch and returns who waits in it.
    fn close(&self) -> Vec<(K, oneshot::Sender<V>)> {
        let mut open = self.gather.lock();
        if open.as_ref().is_some_and(|batch| Arc::ptr_eq(batch, &self.batch)) {
            *open = None;
        }
        std::mem::take(&mut *self.batch.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K: Clone, V> Drop for Lead<'_, K, V> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::future::join_all;

    use super::*;

    /// Joins with these keys at once; returns the answers and the sizes of the requests.
    async fn joined(most: usize, keys: std::ops::Range<u32>) -> (Vec<Option<u32>>, Vec<usize>) {
        let gather = Gather::new(Duration::from_millis(10), most);
        let sizes = Mutex::new(Vec::new());
        let calls = keys.map(|key| {
            gather.join(key, |keys| {
                sizes.lock().unwrap().push(keys.len());
                async move { keys.into_iter().map(|key| key * 10).collect() }
            })
        });
        let answers = join_all(calls).await;
        (answers, sizes.into_inner().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_come_together_share_one_request_and_each_gets_its_own_answer() {
        let (answers, sizes) = joined(100, 0..20).await;
        assert_eq!(answers, (0..20).map(|key| Some(key * 10)).collect::<Vec<_>>());
        assert_eq!(sizes, [20]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_full_at_its_bound_and_the_next_call_opens_another() {
        assert_eq!(joined(4, 0..5).await.1, [5]);
        let (answers, sizes) = joined(4, 0..6).await;
        assert_eq!(sizes, [5, 1]);
        assert!(answers.iter().all(Option::is_some));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_leader_that_goes_away_is_told() {
        let gather = Gather::<u32, u32>::new(Duration::from_secs(60), 4);
        let lead = gather.join(1, |_| std::future::pending());
        let follow = gather.join(2, |_| std::future::pending());
        let (led, followed) = tokio::join!(tokio::time::timeout(Duration::from_secs(1), lead), follow);
        assert!(led.is_err() && followed.is_none());
        // Nothing of the closed batch is left: the next call leads.
        let next = gather.join(3, |keys| async move { keys });
        assert_eq!(next.await, Some(3));
    }
}
