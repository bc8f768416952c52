//! The node's `resolv.conf`, read again when it changes.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent_core::dns::{nameservers, node_resolver};
use futures::StreamExt as _;
use inotify::{EventStream, Inotify, WatchMask};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::forward::{Forwarder, Upstreams};

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where systemd-resolved writes the upstreams behind its stub.
const RESOLVED_CONF: &str = "/run/systemd/resolve/resolv.conf";
/// Writers replace the file in steps; the last one is waited for.
const SETTLE: Duration = Duration::from_millis(200);
/// A look without notice, for where none comes (folders that appear later, other file systems).
const LOOK: Duration = Duration::from_mins(1);

/// The node's upstreams as its files say now.
pub(crate) fn read(own: IpAddr) -> Upstreams {
    let text = |path: &str| std::fs::read_to_string(path).ok();
    let (etc, resolved) = (text(RESOLV_CONF).unwrap_or_default(), text(RESOLVED_CONF));
    Upstreams::new(&nameservers(node_resolver(&etc, resolved.as_deref())), own)
}

/// Gives `forwarder` the upstreams of each new state of the files, until `stop`.
pub(crate) async fn follow(forwarder: Arc<Forwarder>, own: IpAddr, stop: CancellationToken) {
    loop {
        // Made anew each time: the link may lead elsewhere now.
        let mut notices = watch().inspect_err(|error| {
            warn!(
                error = error as &dyn std::error::Error,
                "resolv.conf is looked at once a minute only"
            );
        });
        if stop
            .run_until_cancelled(notice(notices.as_mut().ok()))
            .await
            .is_none()
        {
            return;
        }
        let upstreams = read(own);
        let servers = format!("{:?}", upstreams.servers());
        if forwarder.replace(upstreams) {
            info!(servers, "upstream name servers changed");
        }
    }
}

async fn notice(notices: Option<&mut EventStream<Vec<u8>>>) {
    let Some(notices) = notices else {
        return tokio::time::sleep(LOOK).await;
    };
    if tokio::time::timeout(LOOK, notices.next()).await.is_ok() {
        tokio::time::sleep(SETTLE).await;
    }
}

/// Notices of changes in the folders of both files, and in that of what `/etc/resolv.conf` leads to.
fn watch() -> std::io::Result<EventStream<Vec<u8>>> {
    let inotify = Inotify::init()?;
    let wanted = WatchMask::CLOSE_WRITE | WatchMask::MOVED_TO | WatchMask::CREATE | WatchMask::DELETE;
    for folder in folders() {
        match inotify.watches().add(&folder, wanted) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    inotify.into_event_stream(vec![0; 4096])
}

fn folders() -> BTreeSet<PathBuf> {
    let target = std::fs::canonicalize(RESOLV_CONF).unwrap_or_else(|_| RESOLV_CONF.into());
    let files = [Path::new(RESOLV_CONF), Path::new(RESOLVED_CONF), &target];
    files
        .into_iter()
        .filter_map(Path::parent)
        .map(Path::to_owned)
        .collect()
}
