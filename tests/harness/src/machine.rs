//! A systemd machine as a test node.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use controlplane_machine::Machine;

use crate::command::{execute, succeed};
use crate::{Executed, Node};

/// A running systemd machine.
#[derive(Debug, Clone)]
pub struct MachineNode {
    machine: Machine,
}

impl MachineNode {
    /// The machine as a test node.
    #[must_use]
    pub fn new(machine: Machine) -> Self {
        Self { machine }
    }
}

impl Node for MachineNode {
    fn name(&self) -> &str {
        self.machine.name()
    }

    fn execute(&self, command: &str) -> Result<Executed> {
        execute(&mut self.machine.enter(&["/bin/bash", "-c", command])?)
    }

    fn crash(&self) -> Result<()> {
        self.machine.kill();
        Ok(self.machine.stop(std::time::Duration::ZERO)?)
    }

    fn copy_from_host(&self, host: &Path, inside: &str) -> Result<()> {
        let target = self.machine.path(inside);
        succeed(Command::new("cp").arg("--recursive").arg(host).arg(target)).map(drop)
    }
}
