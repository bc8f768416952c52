//! The node's runtime alone, its agent stopped: claims that are programs of their own crates.

use std::process::ExitCode;

use anyhow::Result;
use tests_harness::{Cluster, Node, floe_binaries};
use tests_machine::{ClusterTest, Shared};

const CLAIMS: &[ClusterTest] = &[
    ("systemd_keeps_the_contract_of_unit_managers", contract),
    ("containers_live_and_die_as_claimed_without_an_agent", containers),
];

fn main() -> ExitCode {
    let shared = Shared {
        name: "t-runtime",
        nodes: 1,
    };
    tests_machine::main(shared, &[], CLAIMS)
}

fn contract(cluster: &Cluster) -> Result<()> {
    run(cluster, "contract", "")
}

fn containers(cluster: &Cluster) -> Result<()> {
    run(cluster, "machine", "/usr/bin/floe-run")
}

/// Runs the example program `name` on the node; its agent would take the pods for orphans.
fn run(cluster: &Cluster, name: &str, arguments: &str) -> Result<()> {
    let node = cluster.node();
    node.succeed("systemctl stop floe-agent")?;
    let inside = format!("/root/{name}");
    node.copy_from_host(&floe_binaries()?.join("examples").join(name), &inside)?;
    node.succeed(&format!("{inside} {arguments}")).map(drop)
}
