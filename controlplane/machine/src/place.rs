//! Where a node lives: in a machine of its own, or on this host.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::host::{self, HostSpec};
use crate::{Machine, MachineError, run};

/// A node by name, running or not.
#[derive(Debug, Clone)]
pub enum Place {
    /// A machine of its own.
    Machine(Machine),
    /// This host.
    Host {
        /// Its name.
        name: String,
        /// The cluster for which it is a node.
        cluster: String,
    },
}

/// What is left of a node that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Nothing at all.
    Nothing,
    /// Its `/var/lib/floe`: objects and images.
    State,
}

impl Place {
    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Machine(machine) => machine.name(),
            Self::Host { name, .. } => name,
        }
    }

    /// The node's `/var/lib/floe`, as a path on this host.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        match self {
            Self::Machine(machine) => machine.state(),
            Self::Host { .. } => host::STATE.into(),
        }
    }

    /// Whether the node is there to be asked.
    #[must_use]
    pub fn is_running(&self) -> bool {
        match self {
            Self::Machine(machine) => machine.leader().is_some(),
            Self::Host { cluster, .. } => host::is_node(cluster),
        }
    }

    /// A command that runs `words` on the node, with the caller's standard streams.
    ///
    /// # Errors
    ///
    /// When the node is not running.
    pub fn enter(&self, words: &[&str]) -> Result<Command, MachineError> {
        match (self, words) {
            (Self::Machine(machine), _) => machine.enter(words),
            (Self::Host { cluster, .. }, [program, arguments @ ..]) if host::is_node(cluster) => {
                let mut command = Command::new(program);
                command.args(arguments);
                Ok(command)
            }
            (Self::Host { name, .. }, _) => Err(MachineError::NotRunning(name.clone())),
        }
    }

    /// Runs `words` on the node and returns what they print.
    ///
    /// # Errors
    ///
    /// When the node is not running or the command fails.
    pub fn run(&self, words: &[&str]) -> Result<String, MachineError> {
        run(&mut self.enter(words)?)
    }

    /// Runs the node's `floe-agent` with `words` and returns what it prints.
    ///
    /// # Errors
    ///
    /// As for [`Place::run`].
    pub fn agent(&self, words: &[&str]) -> Result<String, MachineError> {
        let (program, config) = match self {
            Self::Machine(_) => ("floe-agent".into(), "/etc/floe/agent.toml".into()),
            Self::Host { .. } => (host::path("bin/floe-agent"), host::path("agent.toml")),
        };
        let (program, config) = (program.to_string_lossy(), config.to_string_lossy());
        let mut all = vec![&*program, "--config", &*config];
        all.extend(words);
        self.run(&all)
    }

    /// A path below [`Place::state`] as the node itself sees it.
    #[must_use]
    pub fn seen_inside(&self, path: &Path) -> PathBuf {
        Path::new(host::STATE).join(path.strip_prefix(self.state()).unwrap_or(path))
    }

    /// Stops the node's pods and daemons, by force after `patience`; does nothing where it is stopped.
    ///
    /// # Errors
    ///
    /// When something of it is still in use.
    pub fn stop(&self, patience: Duration) -> Result<(), MachineError> {
        match self {
            Self::Machine(machine) => machine.stop(patience),
            Self::Host { cluster, .. } => host::stop(cluster, patience),
        }
    }

    /// Removes what is on this host of a stopped node.
    ///
    /// # Errors
    ///
    /// Passes on what the system refused.
    pub fn remove(&self, keep: Keep) -> Result<(), MachineError> {
        match (self, keep) {
            (Self::Machine(machine), Keep::Nothing) => machine.remove(),
            (Self::Machine(machine), Keep::State) => machine.remove_keeping_state(),
            (Self::Host { cluster, .. }, _) => host::remove(cluster, keep),
        }
    }
}

/// Makes this host a node of `cluster` and starts its units.
///
/// # Errors
///
/// When it cannot be one, or the file system or systemd refuses; what was made until then is
/// [`Place::remove`]'s.
pub fn install_on_host(cluster: &str, spec: &HostSpec) -> Result<(), MachineError> {
    host::install(cluster, spec)
}

/// Refuses where this host cannot become a node of `cluster`; changes nothing.
///
/// # Errors
///
/// When its PID 1 is not systemd, or it is another cluster's node already.
pub fn refuse_on_host(cluster: &str) -> Result<(), MachineError> {
    host::refuse(cluster)
}

/// Whether this host is, or was to become, a node of `cluster`.
#[must_use]
pub fn is_on_host(cluster: &str) -> bool {
    host::is_owner(cluster)
}

/// The path of a file of [`HostSpec`] on this host.
#[must_use]
pub fn host_file(name: &str) -> PathBuf {
    host::path(name)
}
