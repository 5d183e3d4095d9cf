//! How what an answer says comes into the record, also where the store has lost what the attempt had committed.

use tokio::time::Instant;

use super::absorb::{Answer, Asked, absorb};
use super::ahead::bring_back;
use super::moves;
use super::reached;
use super::session::{Session, Stop};
use crate::telemetry;

/// Most reloads after a commit that was refused.
const REABSORBS: u32 = 8;

impl Session<'_> {
    /// Records what an answer changes; when a command came in between, decides again on the fresh record. Where the store has lost
    /// commits the answer is to what was never asked: what it may be about is looked for.
    pub(super) async fn record(&mut self, asked: &Asked, answer: &Answer) -> Result<(), Stop> {
        reached::answer(asked, answer);
        let known = self.loaded.server.version;
        let mut has_lost = false;
        loop {
            let outcome = if has_lost {
                self.note_lost_commits(known).await
            } else {
                let gates = self.gates();
                let change = absorb(&self.view(&gates), asked, answer);
                self.apply(change).await
            };
            match outcome {
                Err(Stop::Lost) if self.taken_over && self.conflicts < REABSORBS => {
                    self.conflicts += 1;
                    has_lost = self.reload(known).await?;
                    if !has_lost
                        && let Asked::Effect(intent) = asked
                        && self.loaded.server.intent.as_ref().map(|open| open.id) != Some(intent.id)
                    {
                        // An earlier try of this commit was applied after all.
                        return Ok(());
                    }
                }
                outcome => return outcome,
            }
        }
    }

    /// Looks, once a write of this attempt was refused, whether the store has lost commits of it, and notes what those may have made: the
    /// next attempt would know nothing of it.
    pub(super) async fn expect_what_was_lost(&mut self) -> Result<(), Stop> {
        if !self.taken_over {
            return Ok(());
        }
        let known = self.loaded.server.version;
        match self.reload(known).await {
            Ok(true) => self.note_lost_commits(known).await,
            Ok(false) | Err(Stop::Lost) => Ok(()),
            Err(stop) => Err(stop),
        }
    }

    async fn note_lost_commits(&mut self, known: u64) -> Result<(), Stop> {
        let gates = self.gates();
        let change = moves::after_lost_commits(&self.view(&gates));
        self.apply(change).await?;
        let id = self.server().id;
        telemetry::tell(|| {
            tracing::error!(server.id = %id, "the store has lost commits: version {known} of a record is gone");
        });
        Ok(())
    }

    /// Reads the record again after a commit that was refused; says whether the store has lost commits. `known` is the version that the
    /// record is known to have had.
    async fn reload(&mut self, known: u64) -> Result<bool, Stop> {
        let before = self.loaded.server.stamp;
        let (tenant, id) = (self.loaded.server.tenant.clone(), self.loaded.server.id);
        let mut fresh = self.context.store.load(&tenant, id).await?.ok_or(Stop::Unknown)?;
        bring_back(&mut fresh.server, fresh.now, &self.context.timing);
        let ours = fresh.server.holder == Some(self.attempt.lease().claim);
        if fresh.server.stamp == before || (!ours && fresh.server.version > known) {
            // The record is as it was and it is the lease that is gone, or somebody else holds it.
            return Err(Stop::Lost);
        }
        // A takeover that the store has lost is made once more: F1 refuses it if there is a successor.
        self.taken_over = ours;
        self.loaded = fresh;
        self.read_at = Instant::now();
        // Each commit counts up: a record that has moved and not counted has another history, or was read too early.
        Ok(self.loaded.server.version <= known)
    }
}
