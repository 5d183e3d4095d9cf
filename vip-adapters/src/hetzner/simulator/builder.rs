//! Describes a simulator before it is built.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Simulator;
use super::time::WallClock;
use super::world::{Access, Locking, Settings, World};

/// The token that works if no other is given, in the project [`DEFAULT_PROJECT`].
pub const DEFAULT_TOKEN: &str = "simulated0token0000000000000000000000000000000000000000000000000";
/// The project that [`SimulatorBuilder::token`] adds tokens to.
pub const DEFAULT_PROJECT: &str = "default";

/// 2026-11-01T00:00:00Z.
const DEFAULT_WALL_START: Duration = Duration::from_secs(1_793_491_200);
const DEFAULT_RATE_LIMIT_PER_HOUR: u32 = 3600;

/// Describes a simulator.
#[derive(Clone)]
#[must_use]
pub struct SimulatorBuilder {
    settings: Settings,
}

impl Default for SimulatorBuilder {
    fn default() -> Self {
        Self {
            settings: Settings {
                seed: 0,
                clock: WallClock::starting_at(DEFAULT_WALL_START),
                create_time: Duration::from_secs(10),
                delete_time: Duration::from_secs(1),
                answer_time: Duration::ZERO,
                rate_limit_per_hour: DEFAULT_RATE_LIMIT_PER_HOUR,
                locking: Locking::WhileDeleting,
                tokens: HashMap::new(),
                ssh_keys: vec!["ops".to_owned()],
                root_password: None,
            },
        }
    }
}

impl SimulatorBuilder {
    /// Sets the seed of everything random: jitter, chances, passwords. Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = seed;
        self
    }

    /// Sets how long the creation of a server takes, without the jitter of up to a fifth. Default 10 s.
    pub fn create_time(mut self, create_time: Duration) -> Self {
        self.settings.create_time = create_time;
        self
    }

    /// Sets how long a server reads as `deleting` and holds its name. Default 1 s.
    pub fn delete_time(mut self, delete_time: Duration) -> Self {
        self.settings.delete_time = delete_time;
        self
    }

    /// Sets how long every answer takes; effects come at once all the same. Default 0.
    pub fn answer_time(mut self, answer_time: Duration) -> Self {
        self.settings.answer_time = answer_time;
        self
    }

    /// Sets the requests per hour of each project; 0 counts as 1. Default 3600.
    pub fn rate_limit_per_hour(mut self, limit: u32) -> Self {
        self.settings.rate_limit_per_hour = limit;
        self
    }

    /// Adds a token to the default project.
    pub fn token(self, token: impl Into<String>) -> Self {
        self.project(DEFAULT_PROJECT, token)
    }

    /// Adds a token to a project, which comes into being with its first token. Each project has its own servers,
    /// names, keys and rate limit.
    pub fn project(self, project: impl Into<Arc<str>>, token: impl Into<String>) -> Self {
        self.add_token(project.into(), token.into(), Access::ReadWrite)
    }

    /// Adds a token to a project that may only read.
    pub fn read_only_token(self, project: impl Into<Arc<str>>, token: impl Into<String>) -> Self {
        self.add_token(project.into(), token.into(), Access::ReadOnly)
    }

    /// Adds an SSH key of this name to every project. One named `ops` is always there.
    pub fn ssh_key(mut self, name: impl Into<String>) -> Self {
        self.settings.ssh_keys.push(name.into());
        self
    }

    /// Sets the root password of every server that is made without an SSH key. Default: another one each time.
    pub fn root_password(mut self, password: impl Into<String>) -> Self {
        self.settings.root_password = Some(password.into());
        self
    }

    /// Makes servers refuse changes with `423 locked` while any action runs on them, not only while they are deleted.
    pub fn locked_while_busy(mut self) -> Self {
        self.settings.locking = Locking::WhileBusy;
        self
    }

    /// Sets the wall time at the start, since the UNIX epoch, for timestamps and `RateLimit-Reset`.
    /// Default 2026-11-01, so that runs can be compared.
    pub fn wall_time(mut self, since_epoch: Duration) -> Self {
        self.settings.clock = WallClock::starting_at(since_epoch);
        self
    }

    /// Builds the simulator; without any token, [`DEFAULT_TOKEN`] works.
    #[must_use]
    pub fn build(mut self) -> Simulator {
        if self.settings.tokens.is_empty() {
            self = self.token(DEFAULT_TOKEN);
        }
        Simulator::new(World::new(self.settings))
    }

    fn add_token(mut self, project: Arc<str>, token: String, access: Access) -> Self {
        self.settings.tokens.insert(token, (project, access));
        self
    }
}

impl std::fmt::Debug for SimulatorBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatorBuilder")
            .field("seed", &self.settings.seed)
            .field("create_time", &self.settings.create_time)
            .finish_non_exhaustive()
    }
}
