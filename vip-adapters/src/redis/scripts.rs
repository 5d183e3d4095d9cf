//! Every script of the adapters: one file each, loaded once, named after its file.

use redis::Script;

use super::config::ScriptFilter;

macro_rules! scripts {
    ($set:ident, $prelude:expr, $($name:ident,)+) => {
        /// Holds the scripts of one adapter.
        #[derive(Debug)]
        pub(super) struct $set {
            $(pub(super) $name: Script,)+
        }

        impl $set {
            /// Loads every text through the filter.
            pub(super) fn load(filter: &ScriptFilter) -> Self {
                Self {
                    $($name: {
                        let text = filter(stringify!($name), include_str!(concat!("scripts/", stringify!($name), ".lua")));
                        Script::new(&format!("{}{text}", $prelude))
                    },)+
                }
            }
        }
    };
}

/// Stands before every script of the queue.
const PRELUDE: &str = include_str!("scripts/prelude.lua");

scripts! {
    QueueScripts, PRELUDE,
    epoch_raise,
    job_beat,
    job_cancel,
    job_claim,
    job_enqueue,
    job_find,
    job_list,
    job_next,
    job_reap,
    job_replay,
    job_settle,
    job_stats,
    queue_owner,
}

scripts! {
    CacheScripts, "",
    cache_forget,
    cache_get,
    cache_put,
}
