//! Any sequence of commands, answered as a small model says.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::model::{OperationStatus, PageLimit, PageRequest, ServerState};
use crate::provisioning::accept::{CancelCreate, cancel_create};

const TENANTS: u8 = 2;
const KEYS: u8 = 3;
/// Names of orders; the last one is refused.
const NAMES: [&str; 3] = ["web", "db", "Not A Name"];

#[derive(Debug, Clone)]
enum Op {
    Create {
        tenant: u8,
        key: Option<u8>,
        name: usize,
        quota: Option<u32>,
    },
    Delete {
        tenant: u8,
        key: Option<u8>,
        server: prop::sample::Index,
    },
    Cancel {
        tenant: u8,
        server: prop::sample::Index,
    },
    /// Workers do all that there is to do.
    Work,
}

/// Is what a key stands for: an order by its name, or the deletion of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Create(usize),
    Delete(ServerId),
}

#[derive(Debug, Clone)]
struct Ordered {
    tenant: u8,
    id: ServerId,
    create: OperationId,
    delete: Option<OperationId>,
    create_status: OperationStatus,
    is_held: bool,
}

/// Is what a command has to answer.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    /// This operation, made before.
    Replayed(OperationId),
    /// An operation that was not there before.
    New,
    Conflict,
    Invalid,
    Quota(u32),
    NotFound,
    NotCancellable,
}

#[derive(Debug, Default)]
struct Model {
    keys: BTreeMap<(u8, u8), (Command, OperationId)>,
    servers: Vec<Ordered>,
    operations: BTreeSet<OperationId>,
}

fn ops() -> impl Strategy<Value = Op> {
    let key = || prop::option::weighted(0.6, 0..KEYS);
    let quota = prop_oneof![1 => Just(None), 4 => (0..4_u32).prop_map(Some)];
    prop_oneof![
        6 => (0..TENANTS, key(), 0..NAMES.len(), quota)
            .prop_map(|(tenant, key, name, quota)| Op::Create { tenant, key, name, quota }),
        4 => (0..TENANTS, key(), any::<prop::sample::Index>())
            .prop_map(|(tenant, key, server)| Op::Delete { tenant, key, server }),
        2 => (0..TENANTS, any::<prop::sample::Index>()).prop_map(|(tenant, server)| Op::Cancel { tenant, server }),
        1 => Just(Op::Work),
    ]
}

fn tenant_of(number: u8) -> TenantId {
    TenantId::new(format!("tenant-{number}")).unwrap()
}

fn caller(tenant: u8, key: Option<u8>) -> Caller {
    let key = key.map(|number| IdempotencyKey::new(format!("key-{number}")).unwrap());
    Caller {
        tenant: tenant_of(tenant),
        actor: Actor::principal("somebody").unwrap(),
        request_id: None,
        trace_parent: None,
        key,
    }
}

impl Model {
    fn known(&self, tenant: u8, key: Option<u8>, command: Command) -> Option<Expected> {
        let (first, operation) = self.keys.get(&(tenant, key?))?;
        Some(if *first == command { Expected::Replayed(*operation) } else { Expected::Conflict })
    }

    fn held(&self, tenant: u8) -> usize {
        self.servers.iter().filter(|server| server.tenant == tenant && server.is_held).count()
    }

    fn expects_create(&self, tenant: u8, key: Option<u8>, name: usize, quota: Option<u32>) -> Expected {
        let is_full = |limit: &u32| self.held(tenant) >= *limit as usize;
        match (self.known(tenant, key, Command::Create(name)), quota.filter(is_full)) {
            (Some(known), _) => known,
            (None, _) if name == NAMES.len() - 1 => Expected::Invalid,
            (None, Some(limit)) => Expected::Quota(limit),
            (None, None) => Expected::New,
        }
    }

    fn expects_delete(&self, tenant: u8, key: Option<u8>, server: &Ordered) -> Expected {
        match (self.known(tenant, key, Command::Delete(server.id)), server.delete) {
            (Some(known), _) => known,
            (None, _) if server.tenant != tenant => Expected::NotFound,
            (None, Some(first)) => Expected::Replayed(first),
            (None, None) => Expected::New,
        }
    }

    fn expects_cancel(tenant: u8, server: &Ordered) -> Expected {
        match (server.create_status, server.delete) {
            _ if server.tenant != tenant => Expected::NotFound,
            (OperationStatus::Superseded, Some(deletion)) => Expected::Replayed(deletion),
            (OperationStatus::Pending, None) => Expected::New,
            _ => Expected::NotCancellable,
        }
    }

    /// Compares an answer; returns the operation of a command that was accepted.
    fn check(&mut self, expected: &Expected, answer: Result<Accepted, CommandError>) -> Option<Operation> {
        match (expected, answer) {
            (Expected::Replayed(first), Ok(accepted)) => {
                assert!(accepted.replayed && accepted.operation.id == *first);
                Some(accepted.operation)
            }
            (Expected::New, Ok(accepted)) => {
                assert!(!accepted.replayed && self.operations.insert(accepted.operation.id));
                Some(accepted.operation)
            }
            (Expected::Quota(limit), Err(CommandError::QuotaExceeded { limit: named })) if named == *limit => None,
            (Expected::Conflict, Err(CommandError::IdempotencyConflict))
            | (Expected::Invalid, Err(CommandError::Invalid(_)))
            | (Expected::NotFound, Err(CommandError::NotFound))
            | (Expected::NotCancellable, Err(CommandError::NotCancellable)) => None,
            (expected, answer) => panic!("{expected:?}, but {answer:?}"),
        }
    }

    fn take_key(&mut self, tenant: u8, key: Option<u8>, command: Command, operation: OperationId) {
        if let Some(key) = key {
            self.keys.entry((tenant, key)).or_insert((command, operation));
        }
    }

    fn delete(&mut self, id: ServerId, operation: OperationId) {
        let server = self.servers.iter_mut().find(|server| server.id == id).unwrap();
        server.delete = Some(operation);
        if server.create_status == OperationStatus::Pending {
            server.create_status = OperationStatus::Superseded;
        }
    }

    async fn apply(&mut self, product: &Product, op: &Op) {
        let pick = |index: &prop::sample::Index| (!self.servers.is_empty()).then(|| index.get(&self.servers).clone());
        let context = &product.context;
        match op {
            Op::Create { tenant, key, name, quota } => {
                let expected = self.expects_create(*tenant, *key, *name, *quota);
                let accounts = vec![AccountId::default_account()];
                let command =
                    CreateServer { spec: spec(NAMES[*name]), accounts, quota: *quota, ..CreateServer::default() };
                let answer = create_server(context, &caller(*tenant, *key), &command).await;
                let Some(operation) = self.check(&expected, answer).filter(|_| expected == Expected::New) else {
                    return;
                };
                let (id, create) = (operation.server, operation.id);
                let create_status = OperationStatus::Pending;
                self.servers.push(Ordered { tenant: *tenant, id, create, delete: None, create_status, is_held: true });
                self.take_key(*tenant, *key, Command::Create(*name), create);
            }
            Op::Delete { tenant, key, server } => {
                let Some(server) = pick(server) else { return };
                let expected = self.expects_delete(*tenant, *key, &server);
                let command = DeleteServer { server: server.id };
                let answer = delete_server(context, &caller(*tenant, *key), command).await;
                let Some(operation) = self.check(&expected, answer) else { return };
                self.take_key(*tenant, *key, Command::Delete(server.id), operation.id);
                self.delete(server.id, operation.id);
            }
            Op::Cancel { tenant, server } => {
                let Some(server) = pick(server) else { return };
                let expected = Self::expects_cancel(*tenant, &server);
                let command = CancelCreate { operation: server.create };
                let answer = cancel_create(context, &caller(*tenant, None), command).await;
                if let Some(operation) = self.check(&expected, answer) {
                    self.delete(server.id, operation.id);
                }
            }
            Op::Work => {
                product.settle_within(seconds(600)).await;
                for server in &mut self.servers {
                    server.is_held = server.delete.is_none();
                    if server.create_status == OperationStatus::Pending {
                        server.create_status = OperationStatus::Succeeded;
                    }
                }
            }
        }
    }

    /// Compares all that is kept.
    async fn compare(&self, product: &Product) {
        let store = &product.context.store;
        for tenant in 0..TENANTS {
            let kept = store.servers(&tenant_of(tenant), &PageRequest::first(PageLimit::most())).await.unwrap().items;
            assert_eq!(kept.iter().filter(|server| server.quota_held).count(), self.held(tenant));
            let ids: BTreeSet<ServerId> = kept.iter().map(|server| server.id).collect();
            let own = self.servers.iter().filter(|server| server.tenant == tenant);
            assert_eq!(ids, own.clone().map(|server| server.id).collect());
            for server in own {
                let create = store.operation(&tenant_of(tenant), server.create).await.unwrap().unwrap();
                assert_eq!(create.status, server.create_status);
                let Some(delete) = server.delete else { continue };
                let delete = store.operation(&tenant_of(tenant), delete).await.unwrap().unwrap();
                assert_eq!(delete.status == OperationStatus::Succeeded, !server.is_held);
            }
        }
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_commands_is_answered_as_the_model_says(ops in prop::collection::vec(ops(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (product, mut model) = (Product::new().await, Model::default());
            for op in &ops {
                model.apply(&product, op).await;
                model.compare(&product).await;
            }
            // What is left at the provider is what is held.
            model.apply(&product, &Op::Work).await;
            model.compare(&product).await;
            let living = model.servers.iter().filter(|server| server.is_held).count();
            assert_eq!(product.provider.servers().len(), living);
            for server in model.servers.iter().filter(|server| server.is_held) {
                let loaded = product.context.store.load(&tenant_of(server.tenant), server.id).await.unwrap().unwrap();
                assert_eq!(loaded.server.state, ServerState::Running);
            }
        });
    }
}
