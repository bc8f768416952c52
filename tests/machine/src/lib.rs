//! Tests of the whole product on systemd machines and virtual machines.
//!
//! `tests/run` runs them and installs what they need. A plain `cargo test` lists them as ignored,
//! since they need root, kubectl and built binaries; `FLOE_MACHINE_TESTS=1` asks for them.

mod restore;
mod traces;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use tests_harness::{BUSYBOX, Cluster, busybox_archive};

pub use traces::traces;

/// A test of a running cluster: its claim, and what shows it.
pub type ClusterTest = (&'static str, fn(&Cluster) -> Result<()>);

/// The cluster that the tests of one program share.
#[derive(Debug, Clone, Copy)]
pub struct Shared {
    /// Its name; `FLOE_TEST_CLUSTER` gives another, to run beside a program that uses it.
    pub name: &'static str,
    /// How many nodes it has.
    pub nodes: u8,
}

impl Shared {
    fn up(self) -> Result<Cluster> {
        let other = std::env::var("FLOE_TEST_CLUSTER").ok();
        let name = other.as_deref().unwrap_or(self.name);
        Cluster::up(name, &["--no-demo", "--nodes", &self.nodes.to_string()])
    }
}

/// The `main` of a test program: runs `together` beside each other against one `shared` cluster, then
/// `alone`, the ones that disturb whole nodes, one by one, each with the nodes put right before it; takes
/// the cluster down whatever they did.
#[must_use]
#[expect(
    clippy::print_stderr,
    reason = "a test program has no other way to say why it did not start"
)]
pub fn main(shared: Shared, together: &[ClusterTest], alone: &[ClusterTest]) -> ExitCode {
    match run(shared, together, alone) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            eprintln!("the cluster of these tests does not run: {err:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether all passed; an error is that the cluster does not start, or has not got the test image.
fn run(shared: Shared, together: &[ClusterTest], alone: &[ClusterTest]) -> Result<bool> {
    let arguments = Arguments::from_args();
    if arguments.list || std::env::var_os("FLOE_MACHINE_TESTS").is_none() {
        let claims = together.iter().chain(alone).map(|(claim, _)| *claim);
        let trials = claims
            .map(|claim| Trial::test(claim, || Ok(())).with_ignored_flag(true))
            .collect();
        return Ok(!libtest_mimic::run(&arguments, trials).has_failed());
    }
    let cluster = Arc::new(shared.up()?);
    let image = busybox_archive(cluster.scratch())?;
    cluster.succeed(&["image", "load", &image.to_string_lossy()])?;
    let side_by_side = trials(&cluster, together, |_| Ok(()));
    let side_by_side = libtest_mimic::run(&with_threads(&arguments, 4), side_by_side);
    let one_by_one = trials(&cluster, alone, move |cluster| {
        restore::restore(cluster, shared.nodes).context("put right the nodes that the tests before left")
    });
    let one_by_one = libtest_mimic::run(&with_threads(&arguments, 1), one_by_one);
    Ok(!side_by_side.has_failed() && !one_by_one.has_failed())
}

fn with_threads(arguments: &Arguments, threads: usize) -> Arguments {
    Arguments {
        test_threads: Some(threads),
        ..arguments.clone()
    }
}

/// The tests, each with `before` done first.
fn trials(
    cluster: &Arc<Cluster>,
    tests: &[ClusterTest],
    before: impl Fn(&Cluster) -> Result<()> + Copy + Send + 'static,
) -> Vec<Trial> {
    let trial = |(claim, test): &ClusterTest| {
        let (cluster, test) = (Arc::clone(cluster), *test);
        Trial::test(*claim, move || {
            before(&cluster)
                .and_then(|()| test(&cluster))
                .map_err(|err| Failed::from(format!("{err:#}")))
        })
    };
    tests.iter().map(trial).collect()
}

/// A pod manifest: `name`, its restart policy and a shell `script` as its only container.
#[must_use]
pub fn pod(name: &str, restart_policy: &str, script: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name },
        "spec": {
            "restartPolicy": restart_policy,
            "terminationGracePeriodSeconds": 1,
            "containers": [{ "name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script] }],
        },
    })
    .to_string()
}

/// Mounts paths of the node into the first container of `pod`, each where the second path says.
pub fn mount_of_node(pod: &mut Value, paths: &[(&str, &str)]) {
    let numbered = || paths.iter().enumerate();
    let volumes = numbered()
        .map(|(index, (path, _))| json!({ "name": format!("node-{index}"), "hostPath": { "path": path } }));
    let mounts =
        numbered().map(|(index, (_, at))| json!({ "name": format!("node-{index}"), "mountPath": at }));
    if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("volumes".to_owned(), volumes.collect());
    }
    let container = pod
        .pointer_mut("/spec/containers/0")
        .and_then(Value::as_object_mut);
    if let Some(container) = container {
        container.insert("volumeMounts".to_owned(), mounts.collect());
    }
}
