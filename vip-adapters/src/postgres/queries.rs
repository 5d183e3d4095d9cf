//! Every statement of the adapter: one file each, loaded once, named after its file.

use std::sync::Arc;

use sqlx::postgres::PgArguments;
use sqlx::{AssertSqlSafe, Postgres, SqlSafeStr, SqlStr};

use super::config::QueryFilter;

/// Is what makes a statement pass over rows that others hold.
const PASS_OVER: &str = " SKIP LOCKED";

/// Is a statement with what is bound to it.
pub(super) type Query = sqlx::query::Query<'static, Postgres, PgArguments>;

/// Is the text of one statement.
#[derive(Debug, Clone)]
pub(super) struct Statement(SqlStr);

impl Statement {
    fn load(filter: &QueryFilter, name: &str, text: &'static str) -> Self {
        let text: Arc<str> = Arc::from(filter(name, text).as_ref());
        // The text is ours, from a file of this crate; values are always bound.
        Self(AssertSqlSafe(text).into_sql_str())
    }

    /// Starts a query with nothing bound.
    pub(super) fn query(&self) -> Query {
        sqlx::query(self.0.clone())
    }

    /// Makes it wait for rows that others hold, where it passes them over.
    pub(super) fn waiting(&self) -> Self {
        let text: Arc<str> = Arc::from(self.0.as_str().replace(PASS_OVER, ""));
        Self(AssertSqlSafe(text).into_sql_str())
    }
}

macro_rules! statements {
    ($($name:ident,)+) => {
        /// Holds the text of every statement.
        #[derive(Debug)]
        pub(super) struct Queries {
            $(pub(super) $name: Statement,)+
        }

        impl Queries {
            /// Loads every text through the filter.
            pub(super) fn load(filter: &QueryFilter) -> Self {
                Self {
                    $($name: Statement::load(
                        filter, stringify!($name), include_str!(concat!("queries/", stringify!($name), ".sql")),
                    ),)+
                }
            }
        }
    };
}

statements! {
    account_find,
    account_insert,
    account_update,
    audit_deliverable,
    audit_delivered,
    audit_find,
    audit_head,
    audit_heads,
    audit_heads_move,
    audit_heads_open,
    audit_insert,
    audit_seal,
    audit_sealed,
    audit_turn,
    audit_unsealed,
    epoch_raise,
    epoch_turn,
    host_look,
    installation_find,
    installation_insert,
    job_beat,
    job_beat_held,
    job_cancel,
    job_claim,
    job_done,
    job_enqueue,
    job_enqueue_new,
    job_expired,
    job_find,
    job_list,
    job_list_dead,
    job_list_leased,
    job_reap,
    job_replay,
    job_replay_leased,
    job_ring,
    job_ring_alone,
    job_settle,
    job_standing,
    job_stats,
    job_watch,
    key_find,
    key_insert,
    key_servers,
    key_trim,
    key_trimmed,
    lease_prolong,
    lease_upkeep,
    note_hold,
    note_takeover,
    operation_find,
    operation_insert,
    operation_move,
    operation_page,
    operation_trim,
    orders_insert,
    quota_open,
    quota_release,
    quota_take,
    server_command,
    server_find,
    server_hold,
    server_insert,
    server_load,
    server_locate,
    server_operate,
    server_page,
    server_references,
    server_stalled,
    server_takeover,
    server_tenants,
    server_to_trim,
    server_trim,
    server_versions,
    session_busy,
    sighting_clear,
    sighting_done,
    sighting_insert,
    sighting_list,
    sighting_turn,
    store_now,
    store_stats,
}
