//! `floe shell`: a shell or a command on a node.

use std::process::ExitCode;

use anyhow::Context;

use crate::cluster::Cluster;

/// Runs `command`, or a login shell, on `node` and returns its exit code.
pub(crate) fn run(cluster: &Cluster, node: &str, command: &[String]) -> anyhow::Result<ExitCode> {
    cluster.require_running()?;
    let words: Vec<&str> = match command {
        [] => vec!["/bin/bash", "--login"],
        given => given.iter().map(String::as_str).collect(),
    };
    let place = cluster.node(node)?;
    let status = place.enter(&words)?.status().context("start nsenter")?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}
