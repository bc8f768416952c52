//! Host ports outlive what others do to the ruleset: the plugin makes them, the agent puts them back.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_cni::Cni;
use cni_plugins_nft::{KernelRuleset, NftError, Watch};
use cni_plugins_portmap::{Held, restore, table_name};
use cni_plugins_spec::CniError;
use tokio::sync::{Notify, watch};
use tracing::warn;

use crate::network::PORT_MAP;

/// The wait after a failure.
const RETRY: Duration = Duration::from_secs(5);

/// Puts back what is missing of the host ports: at the start, when `network` changes, when `lost` says so, and
/// when others than this have changed the table, the plugin among them. `dirs` are the folders of networks and
/// of our plugins.
pub(crate) async fn keep(
    dirs: &(PathBuf, PathBuf),
    lost: &Notify,
    mut network: watch::Receiver<Option<String>>,
) {
    let mut watched: Option<(String, Watch)> = None;
    loop {
        if let Some(cni) = ours(dirs) {
            watched = match listen(cni.name(), watched) {
                Ok(watch) => Some(watch),
                Err(error) => {
                    warn!(
                        error = &error as &dyn Error,
                        "changes of host ports are not heard of"
                    );
                    None
                }
            };
            if let Err(error) = look(cni).await {
                warn!(error = %error, again_in = ?RETRY, "host ports not compared with the ruleset");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        }
        tokio::select! {
            // Cancel-safe: a notice that came meanwhile is kept.
            () = lost.notified() => {}
            // Cancel-safe: a value counts as seen only once `changed` returns. Its sender lives as long as the agent.
            Ok(()) = network.changed() => {}
            // Cancel-safe: a notice is taken only when it is returned.
            () = changed(&mut watched) => {}
        }
    }
}

/// The network, where its plugin of host ports is ours.
fn ours((networks, plugins): &(PathBuf, PathBuf)) -> Option<Cni> {
    Path::exists(&plugins.join(PORT_MAP)).then(|| Cni::load(networks, plugins).ok())?
}

/// Listens to the table of `network`, unless that is what `now` does.
fn listen(network: &str, now: Option<(String, Watch)>) -> Result<(String, Watch), NftError> {
    match now {
        Some((name, watch)) if name == network => Ok((name, watch)),
        _ => {
            let own = KernelRuleset::open_table(&table_name(network))?.own()?;
            Ok((network.to_owned(), Watch::begin(own)?))
        }
    }
}

async fn changed(watched: &mut Option<(String, Watch)>) {
    match watched {
        Some((_, watch)) => drop(watch.next().await),
        None => std::future::pending().await,
    }
}

/// Compares, on a thread that may block.
async fn look(cni: Cni) -> Result<(), CniError> {
    let compare = move || restore(cni.name(), || held(&cni));
    let done = tokio::task::spawn_blocking(compare).await;
    if done.map_err(|error| CniError::system(&error))?? {
        warn!("host ports were gone from the ruleset; restored");
    }
    Ok(())
}

fn held(cni: &Cni) -> Vec<Held> {
    let held = |held: agent_cni::Held| Held {
        container_id: held.container_id,
        ifname: held.if_name,
        args: held.args,
        config: held.config,
    };
    cni.held(PORT_MAP).into_iter().map(held).collect()
}
