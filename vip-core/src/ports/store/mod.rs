//! The unit of truth: servers, operations, keys, quotas, sightings, accounts and the audit chain.

mod change_set;
mod command_store;
mod error;
mod rows;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub use change_set::{ChangeSet, Committed, Guard, KeyRecord, Note, OperationChange, QuotaChange};
pub use command_store::CommandStore;
pub use error::StoreError;
pub use rows::{
    Delivery, Durability, Loaded, RecordedRef, Retention, SealReport, ServerVersions, Stalled, StoreStats, Trimmed,
};

use super::audit_sink::SinkName;
use crate::model::{
    Account, AccountId, ChainHead, IdempotencyKey, InstallationId, Operation, OperationId, Page, PageRequest,
    SealedRecord, Server, ServerId, Sighting, TenantId,
};

/// Keeps the truth, and changes a record only in one guarded commit together with its audit record.
///
/// All times are the store's own clock. Tenants never meet: a call that takes a tenant sees nothing of another.
///
/// # Contract
///
/// * A commit writes all of its change set or nothing: server, operations, job, key, quota, audit record
///   (`a_commit_is_all_or_nothing`).
/// * `Guard::New` refuses an id or provider name that exists (`an_id_is_inserted_once`).
/// * `Guard::Takeover` needs the stamp and an epoch above the holder's (`takeover_needs_stamp_and_higher_epoch`).
/// * `Guard::Holder` needs the stamp and the holder's claim (`only_the_holder_writes`).
/// * A guard with a lease needs that lease to be the present one of its job (`a_lost_lease_cannot_commit`).
/// * `Guard::Command` needs the stamp and keeps the holder (`a_command_keeps_the_holder`).
/// * `Guard::Operator` needs the stamp and takes over with the next epoch (`an_operator_takes_over`).
/// * Repeating a change set that was applied answers `replayed` and changes nothing (`a_repeated_commit_is_replayed`).
/// * A key is unique per tenant: a second one is `KeyTaken` (`a_key_is_taken_once`).
/// * `QuotaChange::Take` beyond the limit is `QuotaExceeded`; release gives back (`a_quota_is_never_exceeded`).
/// * The job of a commit is enqueued by the rules of the queue (`a_committed_job_is_claimable`).
/// * An operation that is final does not change any more (`a_final_operation_stays`).
/// * A note writes under the guard without a new stamp, version or audit record (`a_note_makes_no_version`).
/// * Versions count 1, 2, 3 …, one audit record each (`one_audit_record_per_version`).
/// * Pages of versions hold each server once, by rising ids, and no more versions than asked for unless one server alone has more
///   (`versions_are_read_in_pages`).
/// * Sealing numbers each tenant's records without a gap, in version order per server, and chains their hashes
///   (`sealing_makes_a_gapless_chain`).
/// * Nothing of a tenant is found under another (`tenants_do_not_meet`).
/// * A sink gets each record until it says that it has it, and tenants take turns, also those whose records it does not take
///   (`a_sink_gets_every_record_once_it_is_told_so`, `a_tenant_whose_records_were_not_taken_goes_behind_the_others`).
/// * Pages hold each server and each operation once (`pages_hold_each_server_once`).
/// * References of an account are what may live there (`references_are_what_may_live_in_an_account`).
/// * Sightings of an account are replaced as a whole, loaded with their server, and removed by the commit that deals
///   with one (`sightings_are_replaced_loaded_and_dealt_with`).
/// * Statistics name the accounts of all records that are not final
///   (`the_accounts_of_records_are_known_until_these_are_final`).
/// * Statistics name the account that a record asks next for as long as it has to move, of the thousand that move first
///   (`the_account_that_a_record_asks_next_is_known_while_it_has_to_move`).
/// * Statistics tell how long the oldest removal lasts, of the ten thousand records that move first
///   (`a_deletion_lasts_for_as_long_as_it_is_pending`, `a_removal_that_nobody_asked_for_lasts_since_its_server_is_known`).
/// * An account is written only over the version that was read (`an_account_is_written_by_whoever_read_it_last`).
/// * Stalled servers are those whose time has passed, longest ago first, and behind them those whose time lies further ahead
///   than was said (`stalled_servers_are_listed_longest_ago_first`,
///   `a_server_that_waits_for_a_time_beyond_any_is_stalled`).
/// * Trimming takes keys, operations and all of a final record but its tombstone; dead jobs stay
///   (`trimming_leaves_a_tombstone`).
/// * A key is trimmed by the end of its record, whenever it came, and of many of one record no more at once than was said
///   (`a_key_is_trimmed_whenever_it_came`, `many_keys_of_one_record_are_trimmed_a_few_at_a_time`).
/// * Where the clock is ahead of the time that is said, that time counts (`trimming_goes_by_no_later_time_than_is_said`).
/// * All of this holds for 32 callers at once (`many_writers_are_fenced`, `many_orders_keep_key_and_quota`,
///   `first_orders_at_once_fill_the_quota`).
/// * Any sequence of calls answers as the in-memory store does (`random_calls_of_a_store_answer_as_in_memory`).
#[cfg_attr(feature = "mocks", mockall::automock)]
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Says what may be lost.
    fn durability(&self) -> Durability;

    /// Returns this installation's id, made when the store was.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn installation(&self) -> Result<InstallationId, StoreError>;

    /// Makes one change durable, guarded and audited.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; after `OutcomeUnknown` repeat the same change set.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the outcome unknown, and nothing half done.
    async fn commit(&self, change: &ChangeSet) -> Result<Committed, StoreError>;

    /// Writes why and until when a server waits.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; repeating it is harmless.
    async fn note(&self, note: &Note) -> Result<(), StoreError>;

    /// Reads a server with all that a decision may look at, in one snapshot.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn load(&self, tenant: &TenantId, server: ServerId) -> Result<Option<Loaded>, StoreError>;

    /// Reads an operation.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn operation(&self, tenant: &TenantId, id: OperationId) -> Result<Option<Operation>, StoreError>;

    /// Reads what an idempotency key stands for.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn key(&self, tenant: &TenantId, key: &IdempotencyKey) -> Result<Option<KeyRecord>, StoreError>;

    /// Lists a tenant's servers, tombstones included, in ascending order of their ids. One that cannot be read is counted and told
    /// in the log, and hides none behind it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn servers(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Server>, StoreError>;

    /// Lists a tenant's operations, in ascending order of their ids. One that cannot be read is counted and told in the log, and
    /// hides none behind it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn operations(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<Operation>, StoreError>;

    /// Lists, over all tenants, the records that are not final and live, or may live, in an account.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn references(&self, account: &AccountId) -> Result<Vec<RecordedRef>, StoreError>;

    /// Finds records over all tenants, final ones included; unknown ids are left out.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn locate(&self, servers: &[ServerId]) -> Result<Vec<RecordedRef>, StoreError>;

    /// Lists an account's sightings.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn sightings(&self, account: &AccountId) -> Result<Vec<Sighting>, StoreError>;

    /// Replaces an account's sightings.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; repeating it is harmless.
    async fn sight(&self, account: &AccountId, sightings: &[Sighting]) -> Result<(), StoreError>;

    /// Lists servers whose time to move passed more than `stall_after` ago, longest ago first, and then those whose time lies more than
    /// `furthest_ahead` ahead: it was written while the clock was ahead.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn stalled(
        &self,
        stall_after: Duration,
        furthest_ahead: Duration,
        most: u32,
    ) -> Result<Vec<Stalled>, StoreError>;

    /// Reads what is known of an account, and the time; an unknown one is version 0.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn account(&self, account: &AccountId) -> Result<Account, StoreError>;

    /// Writes an account if its version is still the one that was read.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] if it is not.
    async fn save_account(&self, account: &Account) -> Result<(), StoreError>;

    /// Returns the store's time; answers only if the store can be used.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn now(&self) -> Result<crate::model::Timestamp, StoreError>;

    /// Says whether a change would be kept at this moment, as far as the last ones show it; for health, which asks every second.
    ///
    /// Reads may be answered while it would not. A store whose reads tell it as well, or that cannot know, keeps the default.
    ///
    /// # Errors
    ///
    /// [`StoreError`], with the cause: changes are not kept. It ends by itself as soon as one would be.
    async fn writable(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Gives unsealed audit records their place in the chain, at most `most`.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; repeating it is harmless.
    async fn seal(&self, most: u32) -> Result<SealReport, StoreError>;

    /// Reads sealed records of a tenant with numbers above `after`, at most `most`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn sealed(&self, tenant: &TenantId, after: u64, most: u32) -> Result<Vec<SealedRecord>, StoreError>;

    /// Reads the end of a tenant's chain, as the store remembers it apart from the records.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn chain_head(&self, tenant: &TenantId) -> Result<ChainHead, StoreError>;

    /// Reads, of one snapshot, servers' versions and how many audit records each version has: of the servers with ids above `after`,
    /// ascending, as many as have `most` versions together, but at least one. A page without a server is the end.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn versions(
        &self,
        tenant: &TenantId,
        after: Option<ServerId>,
        most: u32,
    ) -> Result<ServerVersions, StoreError>;

    /// Lists tenants that have a record, ascending, above `after`, at most `most`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn tenants(&self, after: Option<TenantId>, most: u32) -> Result<Vec<TenantId>, StoreError>;

    /// Reads sealed records that a sink does not have yet, at most `most`, of the tenant whose turn was longest ago.
    ///
    /// No more of them are looked at, however many the sink does not have: a call that took too long would be made again for the same
    /// tenant, and no tenant behind that one would ever have its turn.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn deliverable(&self, sink: &SinkName, most: u32) -> Result<Option<Delivery>, StoreError>;

    /// Remembers that a sink has a tenant's records up to `sequence`, and that the tenant had its turn, after all turns before
    /// whatever the clock says. The number never goes backwards: one that is known already, or zero, ends the turn alone.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; repeating it is harmless.
    async fn delivered(&self, sink: &SinkName, tenant: &TenantId, sequence: u64) -> Result<(), StoreError>;

    /// Forgets what has outlived its retention: keys, operations, and all of a final record but its tombstone; by the store's clock, or by
    /// the time that is said, whichever is earlier.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if one of the three could not be done, whatever became of the others; repeating it is harmless.
    async fn trim(&self, retention: &Retention) -> Result<Trimmed, StoreError>;

    /// Counts what an operator should see.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store cannot be asked.
    async fn stats(&self) -> Result<StoreStats, StoreError>;

    /// Gives back connections and files; later calls fail.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if something was left behind.
    async fn close(&self) -> Result<(), StoreError>;
}
