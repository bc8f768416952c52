//! What this host must have, and how to get it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use controlplane_machine::{Tool, run};

/// Programs that booting machines takes.
pub(crate) const FOR_MACHINES: &[Tool] = &[
    tool("systemd-nspawn", "systemd-container", "systemd"),
    tool("mmdebstrap", "mmdebstrap", "mmdebstrap"),
    tool("ip", "iproute2", "iproute2"),
    tool("nft", "nftables", "nftables"),
    tool("nsenter", "util-linux", "util-linux"),
    tool("setsid", "util-linux", "util-linux"),
    tool("kill", "procps", "procps"),
];

/// Programs that being a node takes.
pub(crate) const FOR_NODES: &[Tool] = &[
    tool("crun", "crun", "crun"),
    tool("nft", "nftables", "nftables"),
    tool("ip", "iproute2", "iproute2"),
];

const fn tool(program: &'static str, debian: &'static str, nix: &'static str) -> Tool {
    Tool { program, debian, nix }
}

/// Refuses to go on for anyone but root.
pub(crate) fn require_root() -> anyhow::Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    bail!("machines, bridges and mounts need root; run the same command with sudo")
}

/// Sees that every one of `tools` is there, installing missing ones on Debian and Ubuntu; says what it did.
pub(crate) fn prepare(tools: &[Tool]) -> anyhow::Result<String> {
    let missing: Vec<Tool> = tools
        .iter()
        .copied()
        .filter(|tool| !tool.is_installed())
        .collect();
    if missing.is_empty() {
        return Ok("every tool is installed".to_owned());
    }
    if !is_debian() {
        bail!("{}", advice(&missing));
    }
    let packages = unique(&missing, |tool| tool.debian);
    install(&packages)?;
    Ok(format!("installed {}", packages.join(" ")))
}

fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && Path::new("/usr/bin/apt-get").exists()
}

fn is_nixos() -> bool {
    Path::new("/etc/NIXOS").exists()
}

/// The exact command that brings what is missing.
fn advice(missing: &[Tool]) -> String {
    let names = unique(missing, |tool| tool.program).join(", ");
    if is_nixos() {
        let refs: Vec<_> = unique(missing, |tool| tool.nix)
            .iter()
            .map(|pkg| format!("nixpkgs#{pkg}"))
            .collect();
        return format!(
            "missing on this host: {names}; run: nix shell {} -c floe up",
            refs.join(" ")
        );
    }
    let packages = unique(missing, |tool| tool.debian).join(" ");
    format!("missing on this host: {names}; install what your distribution calls: {packages}")
}

fn unique(tools: &[Tool], name: impl Fn(&Tool) -> &'static str) -> Vec<&'static str> {
    let mut names: Vec<_> = tools.iter().map(name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Says which packages are installed, then installs them.
fn install(packages: &[&str]) -> anyhow::Result<()> {
    crate::progress::Progress::new().line(&format!("Installing with apt-get: {}", packages.join(" ")));
    run(apt_get().arg("update")).context("refresh the package lists")?;
    run(apt_get()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages))
    .with_context(|| format!("install {}", packages.join(" ")))?;
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_names_every_missing_program_once() {
        let text = advice(FOR_MACHINES);
        for tool in FOR_MACHINES {
            assert!(text.contains(tool.program), "{text}");
        }
        assert_eq!(text.matches("util-linux").count(), 1, "{text}");
    }
}
