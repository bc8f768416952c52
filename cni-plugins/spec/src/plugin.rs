//! From the environment and stdin to the answer on stdout.

use serde_json::{Value, json};

use crate::call::Call;
use crate::env::{Command, Environment};
use crate::error::{CniError, ErrorCode};
use crate::result::Success;
use crate::version::{Version, VersionInfo};

/// A network plugin. Every call may block.
pub trait Plugin {
    /// Connects the container.
    ///
    /// # Errors
    ///
    /// Tells why it is not connected; what was made half is undone.
    fn add(&self, call: &Call) -> Result<Success, CniError>;

    /// Disconnects the container; succeeds where it is not connected (any more).
    ///
    /// # Errors
    ///
    /// Tells what could not be freed.
    fn del(&self, call: &Call) -> Result<(), CniError>;

    /// Compares what is there with `prevResult`.
    ///
    /// # Errors
    ///
    /// Tells the first difference.
    fn check(&self, call: &Call) -> Result<(), CniError>;

    /// Frees what belongs to none of the valid attachments.
    ///
    /// # Errors
    ///
    /// Tells what could not be freed.
    fn gc(&self, call: &Call) -> Result<(), CniError>;

    /// Tells whether ADD can be served.
    ///
    /// # Errors
    ///
    /// Tells why it cannot.
    fn status(&self, call: &Call) -> Result<(), CniError>;
}

/// What a plugin prints and whether it succeeded.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// JSON for stdout; nothing for a DEL, CHECK, GC or STATUS that succeeded.
    pub stdout: Option<Value>,
    /// Whether the exit code is 0.
    pub success: bool,
}

/// Performs one call of `plugin`.
pub fn run(plugin: &dyn Plugin, lookup: impl Fn(&str) -> Option<String>, stdin: &[u8]) -> Output {
    let asked = serde_json::from_slice::<Value>(stdin).ok().and_then(|config| {
        config
            .get("cniVersion")
            .and_then(Value::as_str)
            .map(str::to_owned)
    });
    match answer(plugin, lookup, stdin, asked.as_deref()) {
        Ok(stdout) => Output {
            stdout,
            success: true,
        },
        Err(mut error) => {
            error.cni_version = asked.unwrap_or_else(|| Version::default().to_string());
            Output {
                stdout: Some(json!(error)),
                success: false,
            }
        }
    }
}

fn answer(
    plugin: &dyn Plugin,
    lookup: impl Fn(&str) -> Option<String>,
    stdin: &[u8],
    asked: Option<&str>,
) -> Result<Option<Value>, CniError> {
    let environment = Environment::read(lookup)?;
    let command = environment.command;
    if command == Command::Version {
        return Ok(Some(json!(VersionInfo::ours(
            asked.unwrap_or(Version::default().as_str())
        ))));
    }
    let call = Call::new(environment, stdin)?;
    let version = call.net.cni_version;
    match command {
        Command::Add => return plugin.add(&call).map(|result| Some(result.to_json(version))),
        Command::Del => plugin.del(&call)?,
        Command::Check => since(Version::V0_4_0, &call).and_then(|()| plugin.check(&call))?,
        Command::Gc => since(Version::V1_1_0, &call).and_then(|()| plugin.gc(&call))?,
        Command::Status => since(Version::V1_1_0, &call).and_then(|()| plugin.status(&call))?,
        Command::Version => {}
    }
    Ok(None)
}

/// Refuses a command that the configuration's version does not have yet.
fn since(first: Version, call: &Call) -> Result<(), CniError> {
    let (command, version) = (call.environment.command.as_str(), call.net.cni_version);
    if version >= first {
        return Ok(());
    }
    let msg = format!("{command} came with cniVersion {first}, but the configuration says {version}");
    Err(CniError::new(ErrorCode::IncompatibleVersion, msg))
}

#[cfg(test)]
mod tests;
