//! A cluster started by the real `floe` command and removed when the test is over.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use controlplane_machine::Machine;

use crate::command::{execute, succeed};
use crate::{Executed, Kubectl, MachineNode};

/// A running cluster; it is taken down when dropped.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    floe: PathBuf,
    /// Scratch files of the tests; gone with the cluster.
    scratch: tempfile::TempDir,
}

impl Cluster {
    /// Starts the cluster `name` with `floe up` and `options`.
    ///
    /// # Errors
    ///
    /// What `floe` printed, when it fails; what it had made until then is removed.
    pub fn up(name: &str, options: &[&str]) -> Result<Self> {
        let scratch = tempfile::tempdir().context("create a folder for scratch files")?;
        let cluster = Self {
            name: name.to_owned(),
            floe: floe_binaries()?.join("floe"),
            scratch,
        };
        succeed(cluster.floe(&["up"]).args(options))?;
        let kubeconfig = succeed(&mut cluster.floe(&["kubeconfig"]))?;
        std::fs::write(cluster.kubeconfig(), kubeconfig).context("keep the kubeconfig")?;
        Ok(cluster)
    }

    /// The command `floe` with `words`, for this cluster.
    #[must_use]
    pub fn floe(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.floe);
        command.args(["--name", &self.name]).args(words);
        // As an operator runs it: cargo's own variable would make `up` build the daemons again.
        command.env_remove("CARGO");
        command
    }

    /// Runs `floe` with `words` and returns how it ended.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn run(&self, words: &[&str]) -> Result<Executed> {
        execute(&mut self.floe(words))
    }

    /// Runs `floe` with `words`, which must succeed.
    ///
    /// # Errors
    ///
    /// When it fails, with what it printed.
    pub fn succeed(&self, words: &[&str]) -> Result<String> {
        succeed(&mut self.floe(words))
    }

    /// The cluster's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster's first node, which runs the control plane.
    #[must_use]
    pub fn node(&self) -> MachineNode {
        self.numbered(1)
    }

    /// The node with `number`, counted from 1.
    #[must_use]
    pub fn numbered(&self, number: u8) -> MachineNode {
        let name = format!("{}-{number}", self.name);
        let dir = Path::new("/var/lib/floe/clusters")
            .join(&self.name)
            .join("nodes")
            .join(&name);
        MachineNode::new(Machine::new(&name, &dir))
    }

    /// A folder for files of the tests.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.scratch.path().join("kubeconfig")
    }

    /// kubectl as the administrator.
    ///
    /// # Errors
    ///
    /// When no kubectl is set.
    pub fn kubectl(&self) -> Result<Kubectl> {
        Kubectl::new(&self.kubeconfig())
    }

    /// kubectl 1.20 as the administrator.
    ///
    /// # Errors
    ///
    /// When it is not set.
    pub fn old_kubectl(&self) -> Result<Kubectl> {
        Kubectl::old(&self.kubeconfig())
    }
}

impl Drop for Cluster {
    #[expect(
        clippy::print_stderr,
        reason = "a test's only way to say what its clean-up could not do"
    )]
    fn drop(&mut self) {
        if let Err(err) = succeed(&mut self.floe(&["down"])) {
            eprintln!("cluster {} was not taken down: {err:#}", self.name);
        }
    }
}

/// The folder of the built programs: above the one of the test's own program.
///
/// # Errors
///
/// When the test's own path cannot be told.
pub fn floe_binaries() -> Result<PathBuf> {
    let own = std::env::current_exe().context("find the test's own path")?;
    Ok(own
        .parent()
        .and_then(Path::parent)
        .context("find the build's folder")?
        .to_owned())
}
