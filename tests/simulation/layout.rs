//! What stands around an order: accounts, processes and their clocks, quota, sweeps.

use std::time::Duration;

use vip_core::model::AccountId;

use crate::cloud::Cloud;
use crate::orders::Order;
use crate::world::Scope;

/// Time until the next sweep, where none is part of the order.
pub const NO_SWEEP: Duration = Duration::from_secs(120);
/// Time between two sweeps, where they are.
pub const SWEEPS: Duration = Duration::from_secs(3);
/// How far apart the clocks of processes are, where that is the point.
const APART: Duration = Duration::from_secs(60);

/// Is what stands around an order.
#[derive(Debug)]
pub struct Layout {
    /// Accounts in order of preference.
    pub clouds: Vec<(AccountId, Cloud)>,
    /// Time between two sweeps.
    pub sweep_interval: Duration,
    /// How far the clock of each process is ahead.
    pub skews: Vec<Duration>,
    /// Servers that each tenant may have.
    pub quota: Option<u32>,
    /// Dead jobs that there must be in the end.
    pub dead_jobs: u64,
    /// Whether audit records are delivered, and a cache is shared.
    pub has_sink: bool,
    /// Which calls the plan counts.
    pub scope: Scope,
}

impl Layout {
    /// Returns the layout of random schedules: one account, sweeps, any number of processes.
    #[must_use]
    pub fn of_schedules(skews: Vec<Duration>) -> Self {
        Self {
            clouds: vec![(AccountId::default_account(), Cloud::new("token"))],
            sweep_interval: SWEEPS,
            skews,
            quota: None,
            dead_jobs: 0,
            has_sink: false,
            scope: Scope::Sweep,
        }
    }

    /// Returns the layout of an order.
    #[must_use]
    pub fn of(order: Order) -> Self {
        let mut layout = Self::of_schedules(vec![Duration::ZERO; 2]);
        let sweeps = matches!(
            order,
            Order::SweepBeside | Order::RenamedCopy | Order::RestoredBackup | Order::BetweenSweeps | Order::VeryLate
        );
        if !sweeps {
            layout.sweep_interval = NO_SWEEP;
            layout.scope = Scope::Order;
        }
        match order {
            Order::Quota => layout.quota = Some(2),
            Order::SecondAccount => {
                layout.clouds.push((AccountId::new("second").unwrap(), Cloud::new("second")));
            }
            Order::Unreadable => layout.dead_jobs = 1,
            Order::ClocksApart => layout.skews = vec![Duration::ZERO, APART],
            Order::Create
            | Order::CreateThenDelete
            | Order::DeleteWhileCreating
            | Order::FullLocation
            | Order::ForeignName
            | Order::TwoTenants
            | Order::SweepBeside
            | Order::OtherProject
            | Order::RenamedCopy
            | Order::RestoredBackup
            | Order::Outage
            | Order::ForeignThenDelete
            | Order::DeleteAtOnce
            | Order::Suspended
            | Order::BetweenSweeps
            | Order::VeryLate
            | Order::LandedTwice
            | Order::Refusals => {}
        }
        layout
    }
}
