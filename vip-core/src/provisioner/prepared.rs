//! Commands that a host takes along into a transaction of its own, where a SQL adapter accepts them.

use super::Shared;
use super::operation::OperationHandle;
use crate::model::InstallationId;
use crate::ports::CommandStore;
use crate::provisioning::accept::{self, Accepted, Caller, CommandError, CreateServer, DeleteServer, Ids, Names};

/// Is an order or a deletion that was checked and named, and is not accepted yet.
///
/// A SQL adapter accepts it inside a transaction of the host's own; see its `accept_in`. It may be accepted again, in a
/// second transaction, if nobody knows what became of the first: an order keeps its ids, so it is one order.
#[derive(Debug, Clone)]
#[must_use = "a prepared order does nothing until an adapter accepts it"]
pub struct PreparedOrder {
    shared: Shared,
    caller: Caller,
    command: Command,
}

#[derive(Debug, Clone)]
enum Command {
    Create(Box<(CreateServer, Ids)>),
    Delete(DeleteServer),
}

impl PreparedOrder {
    pub(super) async fn create(shared: Shared, caller: Caller, command: CreateServer) -> Result<Self, CommandError> {
        accept::check_create(&shared.context, &caller, &command).await?;
        let ids = Ids::fresh(&shared.context);
        Ok(Self { shared, caller, command: Command::Create(Box::new((command, ids))) })
    }

    pub(super) const fn delete(shared: Shared, caller: Caller, command: DeleteServer) -> Self {
        Self { shared, caller, command: Command::Delete(command) }
    }

    /// Returns the installation that it is for: a store of another one must not accept it.
    #[must_use]
    pub fn installation(&self) -> InstallationId {
        self.shared.context.installation
    }

    /// Accepts it through a store; adapters call this, hosts call the adapter's `accept_in`.
    ///
    /// # Errors
    ///
    /// [`CommandError`] as of the command that is sent without a transaction.
    pub async fn accept(&self, store: &mut dyn CommandStore) -> Result<OperationHandle, CommandError> {
        self.shared.refuse_while_closing()?;
        let context = &self.shared.context;
        let Accepted { operation, replayed } = match &self.command {
            Command::Create(create) => {
                let (command, ids) = create.as_ref();
                accept::create_in(store, &self.caller, command, Names::Given(ids)).await?
            }
            Command::Delete(command) => accept::delete_in(context, store, &self.caller, *command).await?,
        };
        Ok(OperationHandle::new(self.shared.clone(), operation, replayed))
    }
}
