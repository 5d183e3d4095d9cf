//! Every statement of the adapter: one file each, loaded once, named after its file.

use std::sync::Arc;

use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr, Sqlite};

use super::config::QueryFilter;

/// Is a statement with what is bound to it.
pub(super) type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

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

    #[cfg(test)]
    pub(super) fn text(&self) -> SqlStr {
        self.0.clone()
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

            /// Lists every statement with its name.
            #[cfg(test)]
            pub(super) fn all(&self) -> Vec<(&'static str, &Statement)> {
                vec![$((stringify!($name), &self.$name),)+]
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
    audit_head_move,
    audit_head_open,
    audit_insert,
    audit_seal,
    audit_sealed,
    audit_unsealed,
    epoch_raise,
    installation_find,
    installation_insert,
    job_beat,
    job_cancel,
    job_claim,
    job_due,
    job_expired,
    job_find,
    job_insert,
    job_list,
    job_mark,
    job_merge,
    job_reap,
    job_replay,
    job_replay_leased,
    job_revive,
    job_stats,
    job_watch,
    key_find,
    key_insert,
    key_servers,
    key_trim,
    key_trimmed,
    note_hold,
    note_takeover,
    operation_find,
    operation_insert,
    operation_move,
    operation_page,
    operation_trim,
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
    settle_again,
    settle_dead,
    settle_done,
    settle_release,
    settle_retry,
    settle_snooze,
    sighting_clear,
    sighting_done,
    sighting_insert,
    sighting_list,
    store_stats,
    write_probe,
}
