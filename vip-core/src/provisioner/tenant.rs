//! What a host does on behalf of one tenant: order, delete, list, follow.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use super::Shared;
use super::catalogs::CatalogError;
use super::operation::{OperationHandle, as_blocked, shows_blocked};
use super::prepared::PreparedOrder;
use crate::model::{
    AccountId, Actor, IdempotencyKey, Invalid, NameError, Operation, OperationId, OperationStatus, Page, PageRequest,
    RequestId, Server, ServerId, ServerSpec, TenantId, TraceParent,
};
use crate::ports::{Catalog, StoreError};
use crate::provisioning::accept::{self, Caller, CancelCreate, CommandError, CreateServer, DeleteServer};
use crate::provisioning::is_closed;
use crate::resilience::cached::Cached;
use crate::telemetry;

/// Speaks for one tenant; nothing of another can be reached through it.
#[derive(Debug, Clone)]
pub struct Tenant {
    shared: Shared,
    tenant: Result<TenantId, (String, NameError)>,
    actor: Option<Actor>,
    request_id: Option<RequestId>,
    trace_parent: Option<TraceParent>,
}

impl Tenant {
    pub(super) fn new(shared: Shared, tenant: &str) -> Self {
        let parsed = TenantId::new(tenant).map_err(|error| (tenant.to_owned(), error));
        Self { shared, tenant: parsed, actor: None, request_id: None, trace_parent: None }
    }

    /// Says who gives the commands, for the audit; without it the tenant itself stands there.
    #[must_use]
    pub fn actor(mut self, actor: Actor) -> Self {
        self.actor = Some(actor);
        self
    }

    /// Says which request carries the commands, to follow it through operation, job, provider call and audit record.
    #[must_use]
    pub fn request_id(mut self, request_id: RequestId) -> Self {
        self.request_id = Some(request_id);
        self
    }

    /// Says which trace the request belongs to: the spans of its attempts name it, and requests to the provider carry it.
    /// A job that waits or runs already keeps the trace that it has.
    #[must_use]
    pub fn trace_parent(mut self, trace_parent: TraceParent) -> Self {
        self.trace_parent = Some(trace_parent);
        self
    }

    /// Orders a server; await it.
    ///
    /// **Set an idempotency key**: without one each call is an order of its own, and whoever calls again because an answer was lost, or
    /// after a crash, buys a second server.
    pub fn create_server(&self, spec: ServerSpec) -> CreateOrder {
        CreateOrder { tenant: self.clone(), spec, key: None, accounts: None }
    }

    /// Wishes a server away; await it, after setting an idempotency key if it shall be told apart from others.
    pub fn delete_server(&self, server: ServerId) -> DeleteOrder {
        DeleteOrder { tenant: self.clone(), server, key: None }
    }

    /// Gives up an order whose server has not run; await it. Repeating it answers the same deletion.
    pub fn cancel(&self, operation: OperationId) -> CancelOrder {
        CancelOrder { tenant: self.clone(), operation }
    }

    /// Shows a server.
    ///
    /// # Errors
    ///
    /// [`CommandError::NotFound`] if this tenant has none with that id.
    pub async fn server(&self, id: ServerId) -> Result<Server, CommandError> {
        let tenant = self.id()?;
        let loaded = self.shared.context.store.load(&tenant, id).await?;
        loaded.map(|loaded| loaded.server).ok_or(CommandError::NotFound)
    }

    /// Lists servers, those that are gone included, in ascending order of their ids.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if the store cannot be asked.
    pub async fn servers(&self, page: &PageRequest) -> Result<Page<Server>, CommandError> {
        Ok(self.shared.context.store.servers(&self.id()?, page).await?)
    }

    /// Lists operations, in ascending order of their ids.
    ///
    /// # Errors
    ///
    /// [`CommandError`] if the store cannot be asked.
    pub async fn operations(&self, page: &PageRequest) -> Result<Page<Operation>, CommandError> {
        let tenant = self.id()?;
        let mut shown = self.shared.context.store.operations(&tenant, page).await?;
        if self.any_account_is_closed().await? {
            for operation in &mut shown.items {
                match self.as_read(operation.clone()).await {
                    Ok(read) => *operation = read,
                    // It is shown as it is stored: a record that cannot be read hides no operation of another.
                    Err(error @ CommandError::Internal { .. }) => {
                        let server = operation.server;
                        telemetry::tell(|| {
                            tracing::error!(server.id = %server, error = %telemetry::causes(&error), "a stored server cannot be read");
                        });
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(shown)
    }

    /// Takes up an operation again, in this or another process.
    ///
    /// # Errors
    ///
    /// [`CommandError::NotFound`] if this tenant has none with that id.
    pub async fn operation(&self, id: OperationId) -> Result<OperationHandle, CommandError> {
        let operation = self.shared.context.store.operation(&self.id()?, id).await?.ok_or(CommandError::NotFound)?;
        let operation = self.as_read(operation).await?;
        Ok(OperationHandle::new(self.shared.clone(), operation, false))
    }

    /// Returns an operation as it reads now: while the gate of its account is closed it reads as parked.
    async fn as_read(&self, operation: Operation) -> Result<Operation, CommandError> {
        let context = &self.shared.context;
        if operation.status != OperationStatus::Pending {
            return Ok(operation);
        }
        let loaded = context.store.load(&operation.tenant, operation.server).await?;
        let blocked = loaded.is_some_and(|loaded| shows_blocked(context, &operation, &loaded));
        Ok(if blocked { as_blocked(operation) } else { operation })
    }

    /// Says whether any gate is closed: only then the servers of a page's operations have to be read.
    async fn any_account_is_closed(&self) -> Result<bool, CommandError> {
        let context = &self.shared.context;
        for id in self.shared.accounts.iter() {
            match context.store.account(id).await {
                Ok(account) if is_closed(context, &account) => return Ok(true),
                // What is kept of one account and cannot be read hides no operation; health tells of it.
                Ok(_) | Err(StoreError::Corrupt { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    /// Shows what can be ordered in an account and what it costs; the same for all tenants.
    ///
    /// # Errors
    ///
    /// [`CatalogError`] if this process cannot ask that account, or has nothing that is young enough.
    pub async fn catalog(&self, account: &AccountId) -> Result<Cached<Catalog>, CatalogError> {
        self.shared.catalogs.get(account).await
    }

    fn id(&self) -> Result<TenantId, CommandError> {
        self.tenant.clone().map_err(|(value, error)| Invalid::one("tenant", &value, error.rule).into())
    }

    fn caller(&self, key: Option<&str>) -> Result<Caller, CommandError> {
        let tenant = self.id()?;
        let key = match key {
            Some(text) => {
                Some(IdempotencyKey::new(text).map_err(|error| Invalid::one("idempotency_key", text, error.rule))?)
            }
            None => None,
        };
        let actor = match &self.actor {
            Some(actor) => actor.clone(),
            None => Actor::Principal { name: tenant.as_str().to_owned() },
        };
        let (request_id, trace_parent) = (self.request_id.clone(), self.trace_parent.clone());
        Ok(Caller { tenant, actor, request_id, trace_parent, key })
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<OperationHandle, CommandError>> + Send>>;

/// Is an order that is sent when it is awaited.
#[derive(Debug)]
#[must_use = "an order is sent when it is awaited"]
pub struct CreateOrder {
    tenant: Tenant,
    spec: ServerSpec,
    key: Option<String>,
    accounts: Option<Vec<AccountId>>,
}

impl CreateOrder {
    /// Names the order: 1 to 255 visible ASCII characters, of this tenant alone.
    ///
    /// Sent again with the same key it is the same order, until [`Timing::key_retention`](crate::model::Timing::key_retention)
    /// (90 days by default) after its server has gone.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Names an account to use; repeat it for further ones, in order of preference.
    ///
    /// It is a part of the order: a repeat with the same idempotency key that leaves one of them out is a conflict.
    pub fn account(mut self, account: AccountId) -> Self {
        self.accounts.get_or_insert_default().push(account);
        self
    }

    /// Checks and names the order, for a transaction of the host's own: a SQL adapter's `accept_in` accepts it there.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; nothing was changed.
    pub async fn prepare(self) -> Result<PreparedOrder, CommandError> {
        let (shared, caller, command) = self.command().await?;
        PreparedOrder::create(shared, caller, command).await
    }

    async fn command(self) -> Result<(Shared, Caller, CreateServer), CommandError> {
        let shared = self.tenant.shared.clone();
        shared.refuse_while_closing()?;
        let caller = self.tenant.caller(self.key.as_deref())?;
        let accounts = if self.accounts.is_some() {
            shared.accounts.to_vec()
        } else {
            shared.placer.order(&shared.accounts).await
        };
        let (quota, image_ids) = (shared.quota, shared.image_ids.clone());
        let command = CreateServer { spec: self.spec, named: self.accounts, accounts, quota, image_ids };
        Ok((shared, caller, command))
    }

    async fn send(self) -> Result<OperationHandle, CommandError> {
        let (shared, caller, command) = self.command().await?;
        let accepted = accept::create_server(&shared.context, &caller, &command).await?;
        Ok(OperationHandle::new(shared, accepted.operation, accepted.replayed))
    }
}

impl IntoFuture for CreateOrder {
    type Output = Result<OperationHandle, CommandError>;
    type IntoFuture = Answer;

    fn into_future(self) -> Answer {
        Box::pin(self.send())
    }
}

/// Is a deletion that is sent when it is awaited.
#[derive(Debug)]
#[must_use = "a deletion is sent when it is awaited"]
pub struct DeleteOrder {
    tenant: Tenant,
    server: ServerId,
    key: Option<String>,
}

impl DeleteOrder {
    /// Names the deletion: sent twice with one key, it is one deletion.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Checks the deletion, for a transaction of the host's own: a SQL adapter's `accept_in` accepts it there.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; nothing was changed.
    pub fn prepare(self) -> Result<PreparedOrder, CommandError> {
        let shared = self.tenant.shared.clone();
        shared.refuse_while_closing()?;
        let caller = self.tenant.caller(self.key.as_deref())?;
        Ok(PreparedOrder::delete(shared, caller, DeleteServer { server: self.server }))
    }

    async fn send(self) -> Result<OperationHandle, CommandError> {
        let shared = self.tenant.shared.clone();
        shared.refuse_while_closing()?;
        let caller = self.tenant.caller(self.key.as_deref())?;
        let command = DeleteServer { server: self.server };
        let accepted = accept::delete_server(&shared.context, &caller, command).await?;
        Ok(OperationHandle::new(shared, accepted.operation, accepted.replayed))
    }
}

impl IntoFuture for DeleteOrder {
    type Output = Result<OperationHandle, CommandError>;
    type IntoFuture = Answer;

    fn into_future(self) -> Answer {
        Box::pin(self.send())
    }
}

/// Is a cancellation that is sent when it is awaited.
#[derive(Debug)]
#[must_use = "a cancellation is sent when it is awaited"]
pub struct CancelOrder {
    tenant: Tenant,
    operation: OperationId,
}

impl CancelOrder {
    async fn send(self) -> Result<OperationHandle, CommandError> {
        let shared = self.tenant.shared.clone();
        shared.refuse_while_closing()?;
        let caller = self.tenant.caller(None)?;
        let command = CancelCreate { operation: self.operation };
        let accepted = accept::cancel_create(&shared.context, &caller, command).await?;
        Ok(OperationHandle::new(shared, accepted.operation, accepted.replayed))
    }
}

impl IntoFuture for CancelOrder {
    type Output = Result<OperationHandle, CommandError>;
    type IntoFuture = Answer;

    fn into_future(self) -> Answer {
        Box::pin(self.send())
    }
}
