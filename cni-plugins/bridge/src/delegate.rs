//! Delegation to the address plugin (CNI 1.1.0, §4).

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use cni_plugins_ipam::HostLocal;
use cni_plugins_spec::{Call, CniError, Command as Verb, Environment, ErrorCode, Plugin, Success};
use serde_json::Value;

/// Our own address plugin is called in process; any other by its executable.
pub(crate) enum Ipam {
    HostLocal,
    Executable {
        name: String,
        path: PathBuf,
    },
    /// A network without addresses.
    None,
}

impl Ipam {
    pub(crate) fn of(call: &Call) -> Result<Self, CniError> {
        match call.net.ipam.get("type").and_then(Value::as_str) {
            None if call.net.ipam.is_empty() => Ok(Self::None),
            None => Err(CniError::config(
                "the \"ipam\" part of the configuration has no \"type\"",
            )),
            Some("host-local") => Ok(Self::HostLocal),
            Some(name) => {
                let path = find(name, &call.environment.path)?;
                Ok(Self::Executable {
                    name: name.to_owned(),
                    path,
                })
            }
        }
    }

    pub(crate) fn add(&self, call: &Call) -> Result<Success, CniError> {
        match self {
            Self::HostLocal => HostLocal.add(call),
            Self::None => Ok(Success::default()),
            Self::Executable { .. } => {
                let answer = self.execute(Verb::Add, call)?;
                Success::parse(&serde_json::from_slice(&answer).unwrap_or_default())
            }
        }
    }

    pub(crate) fn del(&self, call: &Call) -> Result<(), CniError> {
        match self {
            Self::HostLocal => HostLocal.del(call),
            Self::None => Ok(()),
            Self::Executable { .. } => self.execute(Verb::Del, call).map(drop),
        }
    }

    pub(crate) fn check(&self, call: &Call) -> Result<(), CniError> {
        match self {
            Self::HostLocal => HostLocal.check(call),
            Self::None => Ok(()),
            Self::Executable { .. } => self.execute(Verb::Check, call).map(drop),
        }
    }

    pub(crate) fn gc(&self, call: &Call) -> Result<(), CniError> {
        match self {
            Self::HostLocal => HostLocal.gc(call),
            Self::None => Ok(()),
            Self::Executable { .. } => self.execute(Verb::Gc, call).map(drop),
        }
    }

    pub(crate) fn status(&self, call: &Call) -> Result<(), CniError> {
        match self {
            Self::HostLocal => HostLocal.status(call),
            Self::None => Ok(()),
            Self::Executable { .. } => self.execute(Verb::Status, call).map(drop),
        }
    }

    /// Calls the executable with the same configuration and parameters, but for the verb (an ADD that is
    /// undone delegates a DEL).
    fn execute(&self, verb: Verb, call: &Call) -> Result<Vec<u8>, CniError> {
        let Self::Executable { name, path } = self else {
            return Ok(Vec::new());
        };
        let failed =
            |e: std::io::Error| CniError::new(ErrorCode::DELEGATE, format!("run address plugin {name}: {e}"));
        let environment = Environment {
            command: verb,
            ..call.environment.clone()
        };
        let mut child = Command::new(path)
            .envs(environment.variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A plugin that does not read its configuration answers all the same.
            drop(stdin.write_all(call.config.to_string().as_bytes()));
        }
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = serde_json::from_slice::<CniError>(&output.stdout);
        Err(said.unwrap_or_else(|_| {
            CniError::new(
                ErrorCode::DELEGATE,
                format!("address plugin {name} failed: {}", output.status),
            )
        }))
    }
}

fn find(name: &str, path: &[PathBuf]) -> Result<PathBuf, CniError> {
    if name.contains('/') || name.starts_with('.') {
        return Err(CniError::config(format!(
            "{name:?} cannot be the name of an address plugin"
        )));
    }
    let missing = || {
        CniError::config(format!(
            "address plugin {name:?} is in none of the folders of CNI_PATH: {path:?}"
        ))
    };
    path.iter()
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(missing)
}
