//! Runs a plugin.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use cni_plugins_spec::CniError as Said;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::error::CniError;

/// How long a plugin may take: an address by DHCP may need this, a hung one must not hold a pod for ever.
const LIMIT: Duration = Duration::from_secs(60);
/// The most that is read of what a plugin prints.
const MAX_OUTPUT: u64 = 1 << 20;

/// One call of one plugin.
#[derive(Debug, Clone)]
pub(crate) struct Invocation<'a> {
    pub(crate) bin_dirs: &'a [PathBuf],
    pub(crate) plugin: &'a str,
    pub(crate) command: &'static str,
    /// `CNI_*` variables beyond the command and the path.
    pub(crate) variables: Vec<(&'static str, String)>,
    pub(crate) config: Value,
}

impl Invocation<'_> {
    /// Runs the plugin; its answer is absent where it printed none.
    pub(crate) async fn run(&self) -> Result<Option<Value>, CniError> {
        match tokio::time::timeout(LIMIT, self.run_unlimited()).await {
            Ok(answer) => answer,
            // The child is killed as its handle is dropped.
            Err(_) => Err(CniError::Deadline {
                plugin: self.plugin.to_owned(),
                command: self.command,
                limit: LIMIT,
            }),
        }
    }

    async fn run_unlimited(&self) -> Result<Option<Value>, CniError> {
        let failed = |source| CniError::Io {
            attempted: format!("run network plugin {}", self.plugin),
            source,
        };
        let mut child = self.command()?.spawn().map_err(failed)?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let config = self.config.to_string();
        let (mut printed, mut complained) = (Vec::new(), Vec::new());
        let write = async {
            if let Some(mut stdin) = stdin {
                // A plugin that answers without reading is within its rights.
                drop(stdin.write_all(config.as_bytes()).await);
            }
        };
        let read = async {
            match stdout {
                Some(stdout) => stdout.take(MAX_OUTPUT).read_to_end(&mut printed).await.map(drop),
                None => Ok(()),
            }
        };
        let complain = async {
            match stderr {
                Some(stderr) => stderr
                    .take(MAX_OUTPUT)
                    .read_to_end(&mut complained)
                    .await
                    .map(drop),
                None => Ok(()),
            }
        };
        let ((), read, complaint) = tokio::join!(write, read, complain);
        read.and(complaint).map_err(failed)?;
        let status = child.wait().await.map_err(failed)?;
        if !complained.is_empty() {
            tracing::debug!(plugin = self.plugin, stderr = %String::from_utf8_lossy(&complained), "network plugin complained");
        }
        self.answer(status.success(), &printed, &complained)
    }

    fn command(&self) -> Result<Command, CniError> {
        let missing = || CniError::PluginMissing {
            plugin: self.plugin.to_owned(),
            dirs: self.bin_dirs.to_vec(),
        };
        let path = self
            .bin_dirs
            .iter()
            .map(|dir| dir.join(self.plugin))
            .find(|p| p.is_file())
            .ok_or_else(missing)?;
        let mut command = Command::new(path);
        command
            .env("CNI_COMMAND", self.command)
            .env(
                "CNI_PATH",
                std::env::join_paths(self.bin_dirs).unwrap_or_default(),
            )
            .envs(self.variables.iter().map(|(key, value)| (*key, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Ok(command)
    }

    fn answer(&self, success: bool, printed: &[u8], complained: &[u8]) -> Result<Option<Value>, CniError> {
        let blank = printed.iter().all(u8::is_ascii_whitespace);
        if success && blank {
            return Ok(None);
        }
        if success {
            return serde_json::from_slice(printed)
                .map(Some)
                .map_err(|e| self.bad(&e.to_string(), printed));
        }
        match serde_json::from_slice::<Said>(printed) {
            Ok(said) => Err(CniError::Refused {
                plugin: self.plugin.to_owned(),
                command: self.command,
                container_id: self.variable("CNI_CONTAINERID"),
                code: said.code.into(),
                message: said.to_string(),
            }),
            Err(_) if blank => Err(self.bad("it failed without an error of CNI", complained)),
            Err(_) => Err(self.bad("it failed without an error of CNI", printed)),
        }
    }

    fn variable(&self, name: &str) -> String {
        self.variables
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.clone())
            .unwrap_or_default()
    }

    fn bad(&self, problem: &str, printed: &[u8]) -> CniError {
        let beginning: String = String::from_utf8_lossy(printed).chars().take(200).collect();
        CniError::BadAnswer {
            plugin: self.plugin.to_owned(),
            command: self.command,
            problem: format!("{problem}; it printed {beginning:?}"),
        }
    }
}
