//! The provider of the story: a simulator in this process, or one that was started apart.

use std::error::Error;
use std::time::Duration;

use vip_adapters::hetzner::simulator::{FaultPlan, Ledger, Simulator, SimulatorServer};

use crate::arguments::Arguments;

/// How long the creation of a server takes.
const CREATE_TIME: Duration = Duration::from_millis(1000);

/// Is a simulated Hetzner Cloud and the way to its ledger.
pub(crate) enum Cloud {
    /// In this process.
    Own { simulator: Simulator, server: SimulatorServer },
    /// In another one.
    Apart { url: String },
}

impl Cloud {
    /// Starts a simulator, or takes the one that was named.
    pub(crate) async fn open(arguments: &Arguments, seed: u64) -> Result<Self, Box<dyn Error + Send + Sync>> {
        if let Some(url) = &arguments.endpoint {
            return Ok(Self::Apart { url: url.trim_end_matches('/').to_owned() });
        }
        let simulator =
            Simulator::builder().seed(seed).create_time(CREATE_TIME).delete_time(Duration::from_millis(300)).build();
        if !arguments.calm {
            simulator.add_plan(FaultPlan::rough(seed))?;
        }
        let server = simulator.serve(([127, 0, 0, 1], 0).into()).await?;
        Ok(Self::Own { simulator, server })
    }

    /// Returns the address of its API.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Own { server, .. } => server.url(),
            Self::Apart { url } => url.clone(),
        }
    }

    /// Reads the ledger.
    pub(crate) async fn ledger(&self) -> Result<Ledger, Box<dyn Error + Send + Sync>> {
        match self {
            Self::Own { simulator, .. } => Ok(simulator.ledger()),
            Self::Apart { url } => {
                let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
                let answer = client.get(format!("{url}/_sim/ledger")).send().await?.error_for_status()?;
                Ok(answer.json().await?)
            }
        }
    }

    /// Ends the simulator, if it is ours.
    pub(crate) async fn close(self) {
        match self {
            Self::Own { server, .. } => server.shutdown().await,
            Self::Apart { .. } => {}
        }
    }
}
