//! A cluster of three servers, as the README tells of it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests_harness::{Cluster, Kubectl, Node, eventually};

const NUMBERS: [u8; 3] = [1, 2, 3];

/// Starts a cluster of its own, beside the shared one.
pub(crate) fn three(_: &Cluster) -> Result<()> {
    let cluster = Cluster::up("t-servers", &["--servers", "3", "--no-demo"])?;
    shown(&cluster, "three servers", |shown| shown.len() == 3)?;
    leads_to(&cluster, &NUMBERS)?;
    kubectl(&cluster)?.succeed(&["create", "configmap", "before"])?;
    let lost = leader(&cluster)?;
    leader_lost(&cluster, lost)?;
    replaced(&cluster, lost)?;
    handed_over(&cluster)?;
    server_stopped(&cluster)?;
    token_replaced(&cluster)
}

/// kubectl with the kubeconfig of a server that answers.
fn kubectl(cluster: &Cluster) -> Result<Kubectl> {
    let text = cluster.succeed(&["kubeconfig"])?;
    std::fs::write(cluster.kubeconfig(), text).context("keep the kubeconfig")?;
    cluster.kubectl()
}

/// Names, roles and states as `floe server list` shows them.
fn roles(cluster: &Cluster) -> Result<Vec<[String; 3]>> {
    let table = cluster.succeed(&["server", "list"])?;
    let row = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        Some([words.next()?, words.next()?, words.next()?])
    };
    Ok(table.lines().skip(1).filter_map(row).collect())
}

/// Waits until `floe server list` shows what `accept` takes: each server answers as far as it knows.
fn shown(cluster: &Cluster, what: &str, accept: impl Fn(&[[String; 3]]) -> bool) -> Result<()> {
    eventually(what, || {
        let shown = roles(cluster)?;
        ensure!(accept(&shown), "{shown:?}");
        Ok(())
    })
}

fn number(cluster: &Cluster, name: &str) -> Result<u8> {
    let number = name.strip_prefix(&format!("{}-", cluster.name()));
    let number = number.with_context(|| format!("{name} is no machine of this cluster"))?;
    number.parse().context("a machine's number")
}

fn leader(cluster: &Cluster) -> Result<u8> {
    eventually("a leader", || {
        let shown = roles(cluster)?;
        let leads = shown.iter().find(|[_, role, _]| role == "Leader");
        let [name, ..] = leads.with_context(|| format!("nobody leads: {shown:?}"))?;
        number(cluster, name)
    })
}

fn name(cluster: &Cluster, number: u8) -> String {
    format!("{}-{number}", cluster.name())
}

fn others(of: u8) -> Vec<u8> {
    NUMBERS.into_iter().filter(|number| *number != of).collect()
}

/// The Service `kubernetes` leads to the servers `numbers` and to no other, from every machine.
fn leads_to(cluster: &Cluster, numbers: &[u8]) -> Result<()> {
    let objects = eventually("a server that tells of the nodes", || {
        kubectl(cluster)?.succeed(&["get", "nodes", "-o", "json"])
    })?;
    let nodes: Value = serde_json::from_str(&objects)?;
    let address = |node: &Value| {
        let name = node["metadata"]["name"].as_str()?;
        let wanted = numbers.iter().any(|number| name.ends_with(&format!("-{number}")));
        let address = node["status"]["addresses"][0]["address"].as_str()?;
        wanted.then(|| address.to_owned())
    };
    let wanted: BTreeSet<String> = nodes["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(address)
        .collect();
    ensure!(wanted.len() == numbers.len(), "{nodes}");
    eventually("the Service `kubernetes` to lead to the live servers", || {
        let path = "{.endpoints[*].addresses[0]}";
        let output = format!("jsonpath={path}");
        let said = kubectl(cluster)?.succeed(&["get", "endpointslice", "kubernetes", "-o", &output])?;
        let shown: BTreeSet<String> = said.split_whitespace().map(str::to_owned).collect();
        ensure!(shown == wanted, "{shown:?}, and not {wanted:?}");
        // Every new connection: a server that is gone would take its share of them.
        for number in numbers {
            cluster.numbered(*number).succeed(
                "for try in 1 2 3 4 5 6 7 8 9; do timeout 5 bash -c ': < /dev/tcp/10.43.0.1/443' || exit 1; done",
            )?;
        }
        Ok(())
    })
}

/// Its power is cut: kubectl, nodes and Service go on with the other two.
fn leader_lost(cluster: &Cluster, lost: u8) -> Result<()> {
    cluster.succeed(&["node", "stop", &name(cluster, lost), "--force"])?;
    // One that is not answered while the others choose may have been done all the same.
    eventually("a write without the lost server", || {
        let kubectl = kubectl(cluster)?;
        let known = kubectl.succeed(&["get", "configmap", "after"]);
        known.or_else(|_| kubectl.succeed(&["create", "configmap", "after"]))
    })?;
    eventually("what was written before", || {
        kubectl(cluster)?.succeed(&["get", "configmap", "before"])
    })?;
    let gone = name(cluster, lost);
    shown(cluster, "another leader", |shown| {
        let mut leaders = shown.iter().filter(|[_, role, _]| role == "Leader");
        leaders.next().is_some_and(|[server, ..]| *server != gone)
    })?;
    leads_to(cluster, &others(lost))?;
    shown(cluster, "the lost server to be shown as lost", |shown| {
        let state = shown.iter().find(|[server, ..]| *server == gone);
        state.is_some_and(|[.., state]| state == "NotReady")
    })?;
    // Another one away would leave none to decide.
    let stays = *others(lost).first().context("a server that is left")?;
    let refused = cluster.run(&["server", "remove", &name(cluster, stays)])?;
    ensure!(
        refused.code != 0 && refused.output.contains("no majority"),
        "{}",
        refused.output
    );
    Ok(())
}

/// A new machine takes the place of the lost one.
fn replaced(cluster: &Cluster, lost: u8) -> Result<()> {
    let gone = name(cluster, lost);
    cluster.succeed(&["server", "remove", &gone])?;
    shown(cluster, "two servers", |shown| shown.len() == 2)?;
    cluster.succeed(&["node", "rm", &gone, "--force"])?;
    cluster.succeed(&["node", "add", "--server"])?;
    let votes = |[_, role, state]: &[String; 3]| role != "Learner" && state == "Ready";
    shown(cluster, "three servers that vote", |shown| {
        shown.len() == 3 && shown.iter().all(votes)
    })?;
    leads_to(cluster, &NUMBERS)
}

fn handed_over(cluster: &Cluster) -> Result<()> {
    let next = *others(leader(cluster)?).first().context("another server")?;
    cluster.succeed(&["server", "handover", &name(cluster, next)])?;
    let wanted = name(cluster, next);
    shown(cluster, "the leader that was asked for", |shown| {
        let leads = shown.iter().find(|[_, role, _]| role == "Leader");
        leads.is_some_and(|[server, ..]| *server == wanted)
    })?;
    let promoted = cluster.succeed(&["server", "promote", &name(cluster, next)])?;
    ensure!(promoted.contains("votes already"), "{promoted}");
    let unknown = cluster.run(&["server", "remove", "nosuch"])?;
    ensure!(
        unknown.code != 0 && unknown.output.contains("has no server nosuch"),
        "{}",
        unknown.output
    );
    Ok(())
}

/// A machine whose own server is stopped stays a node through another.
fn server_stopped(cluster: &Cluster) -> Result<()> {
    let stopped = leader(cluster)?;
    let machine = cluster.numbered(stopped);
    machine.succeed("systemctl stop floe-controlplane.service")?;
    let renewed = || {
        let output = "jsonpath={.spec.renewTime}";
        let node = name(cluster, stopped);
        kubectl(cluster)?.succeed(&["get", "lease", &node, "-n", "kube-node-lease", "-o", output])
    };
    let before = eventually("a server that tells of the lease", renewed)?;
    eventually("its agent to renew its lease through another server", || {
        ensure!(renewed()? != before, "not renewed since {before}");
        Ok(())
    })?;
    machine.succeed("systemctl start floe-controlplane.service")?;
    leads_to(cluster, &NUMBERS)
}

fn token_replaced(cluster: &Cluster) -> Result<()> {
    let tokens = || -> Result<BTreeSet<String>> {
        let read = |number| {
            let node = cluster.numbered(number);
            node.succeed("cat /var/lib/floe/controlplane/join-token")
        };
        NUMBERS.into_iter().map(read).collect()
    };
    let before = tokens()?;
    ensure!(before.len() == 1, "the servers have different tokens");
    cluster.succeed(&["server", "token", "--rotate"])?;
    eventually("all servers to have the new token", || {
        let now = tokens()?;
        ensure!(now.len() == 1 && now != before, "{} tokens", now.len());
        Ok(())
    })?;
    // It is printed nowhere.
    let told = cluster.succeed(&["server", "token"])? + &cluster.succeed(&["server", "add"])?;
    ensure!(!told.contains("floe-join."), "{told}");
    Ok(())
}
