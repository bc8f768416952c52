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
        field(
            "State",
            "status.state",
            "Ready, CatchingUp while it copies what it has not got yet, or NotReady where it does not answer the leader.",
        ),
        field(
            "Behind",
            "status.entriesBehind",
            "Entries of the log that it has not got yet, in two digits.",
        ),
        field("Version", "status.version", "What it runs."),
        field("Api", "spec.apiAddress", "Where its API is reached."),
        age(),
        field("Peer Address", "spec.peerAddress", "Where other servers reach it.").wide(),
        field("Id", "spec.id", "Its number among the members.").wide(),
        field("Message", "status.message", "Why something that was asked for has not been done.").wide(),
    ])
}

/// Why a cluster would not go on without the server `name`, in words; `votes` are the servers with a vote, and whether
/// each is up. One that has no vote may always go.
#[must_use]
pub fn why_not_remove(name: &str, votes: &[(&str, bool)]) -> Option<String> {
    if votes.iter().all(|(vote, _)| *vote != name) {
        return None;
    }
    let left: Vec<_> = votes.iter().filter(|(vote, _)| *vote != name).collect();
    let up = left.iter().filter(|(_, up)| *up).count();
    let down: Vec<&str> = left.iter().filter(|(_, up)| !up).map(|(vote, _)| *vote).collect();
    match left.len() {
        0 => Some("it is the only server with a vote; let another join first (`floe server add`)".to_owned()),
        all if up > all / 2 => None,
        all => Some(format!(
            "without it {up} of {all} servers would be up, which is no majority; start {down} or remove that first",
            down = down.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_goes_only_where_a_majority_of_the_others_is_up() {
        let votes = [("a", true), ("b", true), ("c", false)];
        let why = why_not_remove("b", &votes).unwrap();
        assert!(why.contains("1 of 2 servers") && why.contains("start c"), "{why}");
        assert_eq!(why_not_remove("c", &votes), None, "the one that is down may go");
        assert_eq!(why_not_remove("learner", &votes), None);
        assert_eq!(why_not_remove("b", &votes[..2]), None);
        assert!(why_not_remove("a", &votes[..1]).unwrap().contains("only server"));
    }
}
