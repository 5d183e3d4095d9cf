//! How each part of the process fares, for operators.

use serde::Serialize;
use utoipa::ToSchema;
use vip_core::runtime::HealthReport;

use crate::process::ProcessCost;

/// Says how the process and each of its parts fare.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthBody {
    /// The worst of all parts: `ok`, `degraded` or `down`.
    status: String,
    /// Whether it is going to end.
    draining: bool,
    /// Each part: store, queue, accounts, breakers, budgets, background loops.
    parts: Vec<PartBody>,
    /// What the process costs.
    process: ProcessBody,
}

/// Says how one part fares.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartBody {
    /// Which part.
    name: String,
    /// `ok`, `degraded` or `down`.
    status: String,
    /// What somebody who looks should know.
    detail: Option<String>,
}

/// Says what a process costs; null is what the system does not say.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProcessBody {
    /// Resident memory.
    memory_bytes: Option<u64>,
    /// Open files and sockets.
    descriptors: Option<u64>,
    /// Tasks of the runtime that have not ended.
    tasks: usize,
}

impl HealthBody {
    pub(crate) fn new(report: HealthReport, cost: ProcessCost) -> Self {
        Self {
            status: report.status().to_string(),
            draining: report.draining,
            parts: report
                .parts
                .into_iter()
                .map(|part| PartBody { name: part.name, status: part.status.to_string(), detail: part.detail })
                .collect(),
            process: ProcessBody { memory_bytes: cost.memory_bytes, descriptors: cost.descriptors, tasks: cost.tasks },
        }
    }
}
