//! Controllers and scheduler run on the server that leads, and on no other: two of each would do everything twice.

use std::time::Duration;

use controlplane_raft::Members;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// How often it is looked whether this server leads.
const EVERY: Duration = Duration::from_millis(200);

/// Starts what `start` makes while this server leads, and ends it when it does not, until `stop`.
///
/// # Errors
///
/// What `start` fails with, or what its tasks end with by themselves.
pub(crate) async fn run(
    members: Members,
    start: impl Fn(&CancellationToken) -> anyhow::Result<JoinSet<()>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        if !members.leads() {
            pause(&stop).await;
            continue;
        }
        let term = stop.child_token();
        let mut tasks = start(&term)?;
        while members.leads() && !stop.is_cancelled() {
            tokio::select! {
                // Cancel-safe: a token stays cancelled.
                () = stop.cancelled() => {}
                // Cancel-safe: `join_next` loses no task.
                Some(ended) = tasks.join_next() => {
                    ended?;
                    anyhow::ensure!(stop.is_cancelled(), "the controllers or the scheduler ended by themselves");
                }
                // Cancel-safe: a dropped sleep loses nothing.
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        term.cancel();
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        info!("controllers and scheduler have ended on this server");
    }
    Ok(())
}

async fn pause(stop: &CancellationToken) {
    tokio::select! {
        // Cancel-safe: a token stays cancelled.
        () = stop.cancelled() => {}
        // Cancel-safe: a dropped sleep loses nothing.
        () = tokio::time::sleep(EVERY) => {}
    }
}
