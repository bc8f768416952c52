//! The daemons that a node runs: found beside `floe`, or built by cargo first.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use controlplane_machine::run;

/// Programs of a node and the packages that build them.
pub(super) const PROGRAMS: [(&str, &str); 4] = [
    ("floe-controlplane", "controlplane-bin"),
    ("floe-agent", "agent-bin"),
    ("floe-run", "agent-run"),
    ("floe-cni", "cni-plugins-bin"),
];

/// The folder that holds every program of [`PROGRAMS`], and where they came from.
///
/// Under `cargo run` they are built with the same profile as `floe` itself, since cargo builds only
/// what it runs.
pub(super) fn locate() -> anyhow::Result<(PathBuf, String)> {
    let folder = folder()?;
    if let Some(cargo) = std::env::var_os("CARGO") {
        build(Path::new(&cargo), &folder)?;
        return Ok((folder, "built".to_owned()));
    }
    let missing: Vec<_> = PROGRAMS
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !folder.join(name).is_file())
        .collect();
    if !missing.is_empty() {
        bail!(
            "{} not found in {}; build the whole workspace (`cargo build --release --workspace`) or install the package",
            missing.join(", "),
            folder.display()
        );
    }
    Ok((folder.clone(), format!("from {}", folder.display())))
}

/// The folder that this program lies in.
pub(super) fn folder() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("find this program's own path")?;
    Ok(own.parent().context("find this program's own folder")?.to_owned())
}

fn build(cargo: &Path, folder: &Path) -> anyhow::Result<()> {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let mut command = Command::new(cargo);
    // What `cargo run` tells its program of its own package would make build scripts run anew, and
    // with them half of the build.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    command.args(["build", "--quiet", "--profile", profile]);
    command.args([
        "--manifest-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ]);
    command.args(PROGRAMS.iter().flat_map(|(_, package)| ["--package", package]));
    run(&mut command).context("build the daemons").map(drop)
}
