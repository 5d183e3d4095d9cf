//! Three tenants order servers, each order twice: as a client does whose answer was lost.

use std::error::Error;

use vip_adapters::vip_core::model::ServerSpec;
use vip_adapters::vip_core::ports::Retryability;
use vip_adapters::vip_core::provisioner::{CreateOrder, OperationHandle};
use vip_adapters::vip_core::{CommandError, Provisioner};

/// The tenants of the story.
pub(crate) const TENANTS: [&str; 3] = ["acme", "globex", "initech"];

/// Most repeats of a command whose outcome is unknown.
const REPEATS: u32 = 20;

/// Is one order and who gave it.
pub(crate) struct Order {
    /// Index of the tenant.
    pub(crate) tenant: usize,
    /// The operation that answers it.
    pub(crate) operation: OperationHandle,
}

/// Places all orders, tenant by tenant in turn.
pub(crate) async fn place(provisioner: &Provisioner, servers: u32) -> Result<Vec<Order>, Box<dyn Error + Send + Sync>> {
    let mut orders = Vec::new();
    for number in 1..=servers {
        let tenant = (number as usize - 1) % TENANTS.len();
        let name = TENANTS.get(tenant).copied().unwrap_or("acme");
        let order = || {
            let spec = ServerSpec::new(format!("web-{number}"))
                .server_type("cpx22")
                .image("ubuntu-24.04")
                .location("fsn1")
                .ssh_key("ops");
            provisioner.tenant(name).create_server(spec).idempotency_key(format!("order-{number}"))
        };
        let first = until_certain(order).await?;
        let second = until_certain(order).await?;
        if second.id() != first.id() || !second.is_replayed() {
            return Err(format!("order {number} was accepted twice").into());
        }
        orders.push(Order { tenant, operation: first });
    }
    Ok(orders)
}

/// Sends a command again until its outcome is known: with its key, that is the same command.
async fn until_certain(order: impl Fn() -> CreateOrder) -> Result<OperationHandle, CommandError> {
    let mut repeats = 0;
    loop {
        match order().await {
            Err(error) if error.retryability() != Retryability::Permanent && repeats < REPEATS => repeats += 1,
            certain => return certain,
        }
    }
}
