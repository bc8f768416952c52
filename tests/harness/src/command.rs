//! Host commands, with everything they print.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::Executed;

/// Runs `command` and returns how it ended.
pub(crate) fn execute(command: &mut Command) -> Result<Executed> {
    let done = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {command:?}"))?;
    let mut output = String::from_utf8_lossy(&done.stdout).into_owned();
    output.push_str(&String::from_utf8_lossy(&done.stderr));
    let code = done
        .status
        .code()
        .or_else(|| done.status.signal().map(|signal| 128 + signal));
    Ok(Executed {
        code: code.unwrap_or(-1),
        output,
    })
}

/// Runs `command`, which must succeed.
pub(crate) fn succeed(command: &mut Command) -> Result<String> {
    let done = execute(command)?;
    if done.code == 0 {
        return Ok(done.output);
    }
    bail!("{command:?} ended with {}: {}", done.code, done.output.trim())
}
