//! Controllers and scheduler run on the server that leads, and on no other: two of each would do everything twice.

use controlplane_raft::Members;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

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
    let mut leads = members.leadership();
    loop {
        tokio::select! {
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => return Ok(()),
            // Cancel-safe: the condition stays.
            leads = leads.wait_for(|leads| *leads) => drop(leads?),
        }
        let term = stop.child_token();
        let mut tasks = start(&term)?;
        tokio::select! {
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => {}
            // Cancel-safe: the condition stays.
            leads = leads.wait_for(|leads| !*leads) => drop(leads?),
            // Cancel-safe: `join_next` loses no task.
            Some(ended) = tasks.join_next() => {
                ended?;
                anyhow::ensure!(stop.is_cancelled(), "the controllers or the scheduler ended by themselves");
            }
        }
        term.cancel();
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        info!("controllers and scheduler have ended on this server");
    }
}
