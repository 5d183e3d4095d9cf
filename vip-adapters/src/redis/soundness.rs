//! Whether a server keeps what it is given, as far as its settings tell.

use std::fmt;

use redis::aio::MultiplexedConnection;

use super::config::UnsafeServer;
use super::error::{Failure, OpenError};

/// Says what is demanded of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// Nothing: whatever is lost costs speed.
    Nothing,
    /// That it throws nothing away and writes down what it is given, unless that was waived.
    Jobs(UnsafeServer),
}

/// Is what a server's settings say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Soundness {
    policy: String,
    is_appending: bool,
}

/// The one policy that throws no key away.
const KEEPS_ALL: &str = "noeviction";

impl Soundness {
    pub(super) async fn ask(connection: &mut MultiplexedConnection, demand: Demand) -> Result<Self, Failure> {
        if demand == Demand::Nothing {
            return Ok(Self { policy: KEEPS_ALL.to_owned(), is_appending: true });
        }
        // CONFIG is forbidden by many who rent servers out; INFO is not.
        let all: String = redis::cmd("INFO").query_async(connection).await.map_err(Failure::of_answer)?;
        Ok(Self::read(&all))
    }

    fn read(all: &str) -> Self {
        let field = |name: &str| {
            let mut fields = all.lines().filter_map(|line| line.trim_end().split_once(':'));
            fields.find(|(found, _)| *found == name).map_or("unknown", |(_, value)| value).to_owned()
        };
        Self { policy: field("maxmemory_policy"), is_appending: field("aof_enabled") == "1" }
    }

    /// Says why the server would lose jobs at any time, if it would.
    pub(super) fn refusal(&self) -> Option<OpenError> {
        if self.policy != KEEPS_ALL {
            let (setting, found) = ("maxmemory-policy", self.policy.clone());
            return Some(OpenError::UnsafeServer { setting, found, wanted: KEEPS_ALL });
        }
        (!self.is_appending).then(|| OpenError::UnsafeServer {
            setting: "appendonly",
            found: "no".to_owned(),
            wanted: "yes",
        })
    }

    pub(super) fn is_refused(&self, demand: Demand) -> bool {
        demand == Demand::Jobs(UnsafeServer::Refused) && self.refusal().is_some()
    }
}

impl fmt::Display for Soundness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let appending = if self.is_appending { "yes" } else { "no" };
        write!(formatter, "maxmemory-policy {}, appendonly {appending}", self.policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_evicts_or_does_not_append_is_refused_unless_told_to() {
        let sound = Soundness::read("# Memory\r\nmaxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\n");
        assert!(sound.refusal().is_none());
        let evicts = Soundness::read("maxmemory_policy:volatile-lru\r\naof_enabled:1\r\n");
        let forgets = Soundness::read("maxmemory_policy:noeviction\r\naof_enabled:0\r\n");
        for unsound in [evicts, forgets, Soundness::read("")] {
            assert!(unsound.is_refused(Demand::Jobs(UnsafeServer::Refused)), "{unsound}");
            assert!(!unsound.is_refused(Demand::Jobs(UnsafeServer::Allowed)), "{unsound}");
            assert!(!unsound.is_refused(Demand::Nothing), "{unsound}");
        }
    }
}
