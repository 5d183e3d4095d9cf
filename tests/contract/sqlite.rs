//! The contracts of store and queue on SQLite, against real files.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "the whole file is a test")]

mod fixture;
mod guards;
mod job_queue_cases;
mod samples;
mod sqlite_file;
mod store_cases;
mod upkeep_cases;

use std::sync::Arc;

use fixture::{Fixture, ManualClock, cases};
use vip_adapters::sqlite::{SqliteBackend, SqliteConfig};

async fn sqlite() -> Fixture {
    with_config(|config| config).await
}

/// Opens a fresh file with changed settings.
async fn with_config(change: impl FnOnce(SqliteConfig) -> SqliteConfig) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let config = change(SqliteConfig::default().clock(Arc::clone(&clock) as _));
    let path = folder.path().join("vip.db");
    let opened = SqliteBackend::open(path.to_str().unwrap(), config).await.unwrap();
    Fixture::new(opened.backend(), clock, folder)
}

cases!(QUEUE_CASES, sqlite, job_queue_cases:
    one_job_per_key,
    enqueue_moves_earlier_only,
    enqueue_while_leased_runs_again,
    a_wake_does_not_save_a_dying_job,
    a_command_revives_a_dead_job,
    another_payload_is_a_conflict,
    job_is_claimed_by_one_worker_only,
    only_due_known_kinds_are_claimed,
    epoch_rises_for_ever,
    stale_lease_changes_nothing,
    expired_lease_settles_but_does_not_beat,
    expired_lease_is_claimable,
    rescues_are_bounded,
    rescues_before_a_snooze_or_a_revival_do_not_count,
    attempts_snoozes_and_rescues_are_counted_apart,
    repeated_calls_change_nothing,
    a_leased_job_is_not_cancelled,
    replay_starts_a_dead_job_over_and_marks_a_leased_one,
    jobs_are_listed_in_pages_and_counted,
);

cases!(STORE_CASES, sqlite, store_cases:
    a_commit_is_all_or_nothing,
    an_id_is_inserted_once,
    takeover_needs_stamp_and_higher_epoch,
    only_the_holder_writes,
    a_lost_lease_cannot_commit,
    a_command_keeps_the_holder,
    an_operator_takes_over,
    a_repeated_commit_is_replayed,
    a_key_is_taken_once,
    a_quota_is_never_exceeded,
    a_committed_job_is_claimable,
    a_note_makes_no_version,
    a_final_operation_stays,
);

cases!(UPKEEP_CASES, sqlite, upkeep_cases:
    one_audit_record_per_version,
    sealing_makes_a_gapless_chain,
    a_sink_gets_every_record_once_it_is_told_so,
    tenants_do_not_meet,
    pages_hold_each_server_once,
    references_are_what_may_live_in_an_account,
    sightings_are_replaced_loaded_and_dealt_with,
    an_account_is_written_by_whoever_read_it_last,
    stalled_servers_are_listed_longest_ago_first,
    trimming_leaves_a_tombstone,
);
