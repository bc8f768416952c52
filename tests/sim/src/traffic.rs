//! Clients with the shapes of Kubernetes: objects created, changed on condition of the version seen, deleted, in several
//! keys at once; leases renewed; lists, pages, lists of the past; watches that go on elsewhere where they break.

mod watcher;
mod writer;

pub(crate) use watcher::Watcher;
pub(crate) use writer::Writer;
pub(crate) use writer::everything;

use std::time::Duration;

use controlplane_raft::ServerId;
use controlplane_store::Store;

use crate::{Net, Random};

/// What everything of a run lies under.
pub(crate) const ROOT: &str = "/registry/";
/// Longer than any call may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Some server that runs, with its number and boot.
pub(crate) fn any_server(net: &Net, random: &mut Random) -> Option<(ServerId, Store, u64)> {
    let id = random.pick(&net.running()).copied()?;
    net.store(id).map(|(store, boot)| (id, store, boot))
}
