//! Servers: the members of the group that keeps the cluster's state, as the one that leads tells of them.

use super::define::{age, field, kind, name};
use crate::resource::{Resource, Verb};

/// `servers.floe.dev`. The objects are made by the server that leads; deleting one removes the server from the group.
#[must_use]
pub fn server() -> Resource {
    let resource = kind("floe.dev", "v1", "Server", "servers")
        .cluster_wide()
        .with_status();
    Resource {
        verbs: Verb::ALL.to_vec(),
        ..resource
    }
    .shown_by(vec![
        name(),
        field(
            "Role",
            "status.role",
            "Leader, Voter, or Learner until it has caught up.",
        ),
        field("Address", "spec.peerAddress", "Where other servers reach it."),
        field("Api", "spec.apiAddress", "Where its API is reached."),
        age(),
    ])
}
