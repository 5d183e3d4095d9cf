//! One optional way to host `vip-core`: an axum router to mount into your own application.
//!
//! ```
//! use vip_core::memory::{MemoryProvider, memory_backend};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let provisioner =
//!     vip_core::Provisioner::builder(memory_backend()).provider(MemoryProvider::default()).start().await?;
//! let app: axum::Router = axum::Router::new().merge(vip_http::router(&provisioner));
//! # drop(app);
//! # provisioner.shutdown(std::time::Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```

mod health;

use axum::Router;
use axum::routing::get;
use vip_core::Provisioner;

/// Returns the routes: `/livez` says that the process answers, `/readyz` whether it should get work.
///
/// Both are meant for probes: they need no identity, tell no secret, and `/livez` asks nobody.
pub fn router(provisioner: &Provisioner) -> Router {
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .with_state(provisioner.clone())
}
