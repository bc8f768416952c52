//! Host programs, run to their end with their errors kept.

use std::process::{Command, Output, Stdio};

use crate::MachineError;

/// How much of a failed program's standard error a message carries, in bytes.
const KEPT_OUTPUT: usize = 2000;

/// A host program that Floe needs and the Debian package that brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// The program's file name.
    pub program: &'static str,
    /// The Debian package.
    pub debian: &'static str,
    /// The attribute in nixpkgs.
    pub nix: &'static str,
}

impl Tool {
    /// Whether the program is found in `PATH` or in a system folder.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(Into::into))
            .any(|folder| folder.join(self.program).is_file())
    }
}

/// Runs `command` without standard input and returns what it printed.
///
/// # Errors
///
/// When it cannot be started, or ends with another status than 0; the message carries the command
/// line and the end of its standard error.
pub fn run(command: &mut Command) -> Result<String, MachineError> {
    let output = start(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(MachineError::Failed {
        command: line(command),
        status: output.status,
        output: tail(&output.stderr),
    })
}

/// Whether `command` can be started and ends with status 0.
#[must_use]
pub fn succeeds(command: &mut Command) -> bool {
    start(command).is_ok_and(|output| output.status.success())
}

fn start(command: &mut Command) -> Result<Output, MachineError> {
    command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| MachineError::Spawn {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn tail(bytes: &[u8]) -> String {
    let start = bytes.len().saturating_sub(KEPT_OUTPUT);
    String::from_utf8_lossy(bytes.get(start..).unwrap_or_default())
        .trim()
        .to_owned()
}
