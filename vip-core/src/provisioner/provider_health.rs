//! What health says of the way to each account: breaker, budget and sweeps of this process; no request is made for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::model::AccountId;
use crate::provisioning::sweep::{SweepEnds, SweepFault};
use crate::resilience::{BreakerMode, BreakerState, BreakerView, BudgetView, Stack};
use crate::runtime::{HealthSource, HealthStatus, PartHealth};

/// Shows breakers and budgets, and sweeps that fail for long.
#[derive(Debug)]
pub(super) struct ProviderHealth {
    pub(super) stacks: Arc<BTreeMap<AccountId, Stack>>,
    pub(super) sweeps: Arc<SweepEnds>,
}

#[async_trait]
impl HealthSource for ProviderHealth {
    fn name(&self) -> &str {
        "providers"
    }

    async fn parts(&self) -> Vec<PartHealth> {
        let mut parts = Vec::with_capacity(self.stacks.len() * 2);
        for (id, stack) in self.stacks.iter() {
            let view = stack.breaker.view();
            parts.push(PartHealth::new(format!("breaker:{id}"), breaker_status(&view), Some(breaker_detail(&view))));
            let budget = budget_detail(&stack.budget.view());
            parts.push(PartHealth::new(format!("budget:{id}"), HealthStatus::Ok, Some(budget)));
            parts.extend(self.sweeps.fault(id).map(|fault| of_sweeps(id, &fault)));
        }
        parts
    }
}

/// Says that sweeps fail: their job is snoozed each time, so that the queue shows it as neither late nor dead.
fn of_sweeps(id: &AccountId, fault: &SweepFault) -> PartHealth {
    let detail = format!("all sweeps of this process have failed for {} s ({})", fault.lasts.as_secs(), fault.code);
    PartHealth::new(format!("sweep:{id}"), HealthStatus::Degraded, Some(detail))
}

const fn breaker_status(view: &BreakerView) -> HealthStatus {
    match (view.mode, view.state) {
        (BreakerMode::ForcedOpen | BreakerMode::ForcedClosed | BreakerMode::ObserveOnly, _)
        | (_, BreakerState::Open { .. } | BreakerState::Probing { .. }) => HealthStatus::Degraded,
        (BreakerMode::Automatic, BreakerState::Closed | BreakerState::Easing { .. }) => HealthStatus::Ok,
    }
}

fn breaker_detail(view: &BreakerView) -> String {
    let mode = match view.mode {
        BreakerMode::Automatic => "",
        BreakerMode::ForcedOpen => "held open by an operator; ",
        BreakerMode::ForcedClosed => "held closed by an operator; ",
        BreakerMode::ObserveOnly => "only watching; ",
    };
    let state = match view.state {
        BreakerState::Closed => "closed".to_owned(),
        BreakerState::Easing { creates: Some(most) } => format!("closed again, {most} creates at a time"),
        BreakerState::Easing { creates: None } => "closed again, at a part of the rate".to_owned(),
        BreakerState::Open { scope, cause, retry_after } => {
            format!("open for {scope:?} ({}), probe in {} s", cause.as_str(), retry_after.as_secs())
        }
        BreakerState::Probing { scope } => format!("probing for {scope:?}"),
    };
    format!("{mode}{state}; {} calls, {} failed, {} slow", view.calls, view.failed, view.slow)
}

fn budget_detail(view: &BudgetView) -> String {
    let left = match (view.left, view.limit_per_hour) {
        (Some(left), Some(limit)) => format!("{left} of {limit} requests left"),
        (_, _) => "the provider has not said how many requests are left".to_owned(),
    };
    format!("{left}, {} wait, {} creates without an answer", view.waiting, view.creates_unanswered)
}
