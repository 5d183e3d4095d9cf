//! One line for an adapter's author: the macros that make a test of each case.

use std::pin::Pin;

/// Is one case, to be called on a fixture of its own.
pub type Case<F> = for<'f> fn(&'f F) -> Pin<Box<dyn Future<Output = ()> + Send + 'f>>;

/// Threads that run the concurrent callers of a case: two are enough for a race, and few machines have fewer.
const THREADS: usize = 2;

/// Runs a case to its end on a runtime of its own.
pub fn run(case: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(THREADS).enable_all().build().unwrap().block_on(case);
}

/// Makes one test of each case of a module, on a fixture of its own, and a list of all of them.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_cases {
    ($fixture:ident, $module:ident, $trait:ident: $($case:ident,)+) => {
        $(
            #[test]
            fn $case() {
                $crate::conformance::run(async {
                    let fixture = super::$fixture().await;
                    $crate::conformance::$module::$case(&fixture).await;
                    $crate::conformance::$trait::close(&fixture).await;
                });
            }
        )+

        /// Every case with its name, for whoever wants to run one on a changed adapter.
        #[allow(dead_code, reason = "most authors need the tests alone")]
        pub(crate) const CASES: &[(&str, $crate::conformance::Case<dyn $crate::conformance::$trait>)] =
            &[$((stringify!($case), |fixture| Box::pin($crate::conformance::$module::$case(fixture))),)+];
    };
}
pub use conformance_cases;

/// Makes the cases of `JobQueue`, which both suites with a queue have.
#[doc(hidden)]
#[macro_export]
macro_rules! job_queue_cases {
    ($fixture:ident) => {
        mod job_queue_contract {
            use $crate::conformance::conformance_cases as cases;

            cases!($fixture, job_queue, BackendFixture:
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
        }

        mod job_origin_contract {
            use $crate::conformance::conformance_cases as cases;

            cases!($fixture, job_origin, BackendFixture: a_job_says_who_asked_for_it,);
        }

        mod job_clock_contract {
            use $crate::conformance::conformance_cases as cases;

            cases!($fixture, job_clock, BackendFixture:
                a_lease_that_ends_beyond_any_is_reaped,
                epochs_are_raised_and_never_lowered,
            );
        }
    };
}

pub use job_queue_cases;

/// Proves a `JobQueue` that stands beside a store in another database: one test for each bullet of its contract, a
/// history of 32 callers at once, and random sequences of calls that are compared with the in-memory reference.
///
/// Takes the name of an `async fn` without arguments that returns a fresh
/// [`BackendFixture`](crate::conformance::BackendFixture), whose store may be the one in memory.
#[macro_export]
macro_rules! job_queue_suite {
    ($fixture:ident) => {
        $crate::conformance::job_queue_cases!($fixture);

        mod history_contract {
            use $crate::conformance::conformance_cases as cases;

            cases!($fixture, history, BackendFixture: many_workers_never_share_a_job,);
        }

        mod sequences_contract {
            #[test]
            fn random_calls_of_a_queue_answer_as_in_memory() {
                $crate::conformance::run($crate::conformance::sequences::queue(async || super::$fixture().await));
            }
        }
    };
}

/// Proves a `Store` and the `JobQueue` beside it: one test for each bullet of both contracts, histories of 32 callers
/// at once, and random sequences of calls that are compared with the in-memory reference.
///
/// Takes the name of an `async fn` without arguments that returns a fresh
/// [`BackendFixture`](crate::conformance::BackendFixture).
#[macro_export]
macro_rules! backend_suite {
    ($fixture:ident) => {
        $crate::conformance::job_queue_cases!($fixture);

        mod store_contract {
            use $crate::conformance::conformance_cases as cases;

            cases!($fixture, store, BackendFixture:
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
        }

        mod store_upkeep_contract {
            use $crate::conformance::conformance_cases as cases;

            cases!($fixture, store_upkeep, BackendFixture:
                one_audit_record_per_version,
                sealing_makes_a_gapless_chain,
                a_sink_gets_every_record_once_it_is_told_so,
                a_tenant_whose_records_were_not_taken_goes_behind_the_others,
                tenants_do_not_meet,
                pages_hold_each_server_once,
                references_are_what_may_live_in_an_account,
                sightings_are_replaced_loaded_and_dealt_with,
                the_accounts_of_records_are_known_until_these_are_final,
                the_account_that_a_record_asks_next_is_known_while_it_has_to_move,
                an_account_is_written_by_whoever_read_it_last,
                stalled_servers_are_listed_longest_ago_first,
                a_server_that_waits_for_a_time_beyond_any_is_stalled,
                trimming_leaves_a_tombstone,
            );
        }

        mod store_removal_contract {
            use $crate::conformance::conformance_cases as cases;

            cases!($fixture, store_removal, BackendFixture:
                a_deletion_lasts_for_as_long_as_it_is_pending,
                a_removal_that_nobody_asked_for_lasts_since_its_server_is_known,
            );
        }

        mod store_versions_contract {
            use $crate::conformance::conformance_cases as cases;

            cases!($fixture, store_versions, BackendFixture: versions_are_read_in_pages,);
        }

        mod store_trim_contract {
            use $crate::conformance::conformance_cases as cases;

            cases!($fixture, store_trim, BackendFixture:
                a_key_is_trimmed_whenever_it_came,
                many_keys_of_one_record_are_trimmed_a_few_at_a_time,
                trimming_goes_by_no_later_time_than_is_said,
            );
        }

        mod history_contract {
            use $crate::conformance::conformance_cases as cases;

            cases!($fixture, history, BackendFixture:
                many_workers_never_share_a_job,
                many_writers_are_fenced,
                first_orders_at_once_fill_the_quota,
                many_orders_keep_key_and_quota,
            );
        }

        mod sequences_contract {
            #[test]
            fn random_calls_of_a_queue_answer_as_in_memory() {
                $crate::conformance::run($crate::conformance::sequences::queue(async || super::$fixture().await));
            }

            #[test]
            fn random_calls_of_a_store_answer_as_in_memory() {
                $crate::conformance::run($crate::conformance::sequences::store(async || super::$fixture().await));
            }
        }
    };
}

/// Proves a `ProviderClient`: one test for each bullet of its contract.
///
/// Takes the name of an `async fn` without arguments that returns a fresh
/// [`ProviderFixture`](crate::conformance::ProviderFixture).
#[macro_export]
macro_rules! provider_suite {
    ($fixture:ident) => {
        mod provider_client_contract {
            use $crate::conformance::conformance_cases as cases;

            cases!($fixture, provider_client, ProviderFixture:
                a_create_is_sent_once,
                a_lost_answer_is_unknown,
                a_refusal_has_no_effect,
                a_name_is_unique,
                labels_are_there_from_the_start,
                deleting_twice_is_success,
                inventory_lists_all_of_an_owner,
                a_list_shows_what_a_look_by_id_shows,
                any_page_may_be_asked_for_at_any_time,
                a_deadline_ends_a_call,
                a_look_without_an_answer_is_an_error,
                what_is_there_is_found,
                actions_end_and_unknown_ones_are_left_out,
                the_digest_stays,
            );
        }
    };
}

/// Proves a `Cache`: one test for each bullet of its contract.
///
/// Takes the name of an `async fn` without arguments that returns a fresh
/// [`CacheFixture`](crate::conformance::CacheFixture).
#[macro_export]
macro_rules! cache_suite {
    ($fixture:ident) => {
        mod cache_contract {
            use $crate::conformance::conformance_cases as cases;

            cases!($fixture, cache, CacheFixture:
                a_value_lives_for_its_time,
                an_invalidated_value_is_gone,
                tenants_do_not_meet,
                a_failure_is_not_a_miss,
                a_newer_value_replaces_the_older_one,
            );
        }
    };
}

/// Proves an `AuditSink`: one test for each bullet of its contract.
///
/// Takes the name of an `async fn` without arguments that returns a fresh
/// [`AuditSinkFixture`](crate::conformance::AuditSinkFixture).
#[macro_export]
macro_rules! audit_sink_suite {
    ($fixture:ident) => {
        mod audit_sink_contract {
            use $crate::conformance::conformance_cases as cases;

            cases!($fixture, audit_sink, AuditSinkFixture:
                batches_arrive_in_order,
                ok_means_kept,
                a_repeated_batch_adds_nothing,
                a_batch_that_comes_twice_at_once_is_kept_once,
                a_number_with_another_hash_is_kept_beside_the_first,
                a_refused_batch_may_come_again,
                tenants_do_not_meet,
            );
        }
    };
}
