//! Cancelling an order, and what it is told meanwhile.

use std::time::Duration;

use crate::memory::{MemoryProvider, memory_backend};
use crate::model::{OperationStatus, ServerSpec};
use crate::ports::Backend;
use crate::{CommandError, Provisioner};

fn spec() -> ServerSpec {
    ServerSpec::new("web-1").server_type("a").image("i").location("l").ssh_key("k")
}

/// Accepts and never works: no order moves.
async fn accepting(backend: Backend) -> Provisioner {
    Provisioner::builder(backend).client_only().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_order_that_has_not_run_is_cancelled_once_and_ends_with_nothing() {
    let (backend, provider) = (Backend::from(memory_backend()), MemoryProvider::default());
    let tenant = accepting(backend.clone()).await.tenant("acme");
    let order = tenant.create_server(spec()).await.unwrap();
    assert!(order.progress().await.unwrap().why().starts_with("Not done yet, because no worker has taken it up yet;"));

    let first = tenant.cancel(order.id()).await.unwrap();
    let again = tenant.cancel(order.id()).await.unwrap();
    assert_eq!((first.id(), first.is_replayed()), (again.id(), false));
    assert!(again.is_replayed());
    let told = order.progress().await.unwrap();
    assert_eq!(told.operation.status, OperationStatus::Superseded);
    assert_eq!(told.why(), "A deletion overtook it, so nothing follows from it any more.");

    let working = Provisioner::builder(backend).provider(provider.clone()).start().await.unwrap();
    drop(first.wait().await.unwrap());
    assert_eq!(first.progress().await.unwrap().why(), "Done: the server is gone.");
    assert_eq!(provider.servers().len(), 0);
    assert_eq!(working.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}

#[tokio::test(start_paused = true)]
async fn what_has_run_or_is_a_deletion_is_not_cancelled() {
    let provider = MemoryProvider::default();
    let builder = Provisioner::builder(memory_backend()).provider(provider.clone());
    let provisioner = builder.start().await.unwrap();
    let tenant = provisioner.tenant("acme");
    let order = tenant.create_server(spec()).await.unwrap();
    let server = order.wait().await.unwrap();
    assert!(matches!(tenant.cancel(order.id()).await, Err(CommandError::NotCancellable)));
    assert_eq!(provider.servers().len(), 1, "a server that ran stays");

    let deletion = tenant.delete_server(server.id).await.unwrap();
    assert!(matches!(tenant.cancel(deletion.id()).await, Err(CommandError::NotCancellable)));
    assert!(matches!(provisioner.tenant("other").cancel(order.id()).await, Err(CommandError::NotFound)));
    assert_eq!(provisioner.shutdown(Duration::from_secs(5)).await.tasks_left, 0);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_drains_is_not_ready_and_still_accepts() {
    let provisioner = accepting(Backend::from(memory_backend())).await;
    assert!(provisioner.readiness().await.is_ready());
    provisioner.drain();
    assert!(!provisioner.readiness().await.is_ready());
    assert!(provisioner.tenant("acme").create_server(spec()).await.is_ok());
}
