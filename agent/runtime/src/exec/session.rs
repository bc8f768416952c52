//! Starting a session: floe-run, which becomes crun.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::process_file::ProcessFile;
use super::refusal::{Refusal, Told};
use super::terminal::ConsoleSocket;
use super::{ContainerRef, ExecError, ExecProcess, ExecRequest, Input, Output, unique};
use crate::NodePaths;

/// One session being started.
pub(super) struct Session<'a> {
    pub(super) paths: &'a NodePaths,
    pub(super) target: &'a ContainerRef,
    pub(super) request: &'a ExecRequest,
    pub(super) init: i32,
    pub(super) pid_file: PathBuf,
    pub(super) log: PathBuf,
    pub(super) process: ProcessFile,
}

impl Session<'_> {
    pub(super) fn with_pipes(self) -> Result<ExecProcess, ExecError> {
        let mut command = self.command(None);
        command.stdin(if self.request.stdin {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(self.io("start floe-run"))?;
        Ok(ExecProcess {
            stdin: child.stdin.take().map(|s| Box::new(s) as Input),
            stdout: child.stdout.take().map(|s| Box::new(s) as Output),
            stderr: child.stderr.take().map(|s| self.told(Box::new(s), "\n")),
            child,
            terminal: None,
            pid_file: self.pid_file,
            log: self.log,
            _process: self.process,
        })
    }

    pub(super) async fn with_terminal(self) -> Result<ExecProcess, ExecError> {
        let path = self.paths.run_dir.join(format!("console-{}.sock", unique()));
        let socket = ConsoleSocket::bind(&path).map_err(self.io("make the console socket"))?;
        let mut command = self.command(Some(&path));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // What crun says is in its log.
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(self.io("start floe-run"))?;
        let received = tokio::select! {
            biased;
            // Cancel-safe: the socket goes away with this call.
            received = socket.receive() => Some(received),
            // Cancel-safe: waiting again gives the same status.
            _ = child.wait() => None,
        };
        let Some(terminal) = received else {
            return Err(self.refused());
        };
        let terminal = terminal.map_err(self.io("receive the terminal"))?;
        let (input, output) = terminal.open().map_err(self.io("open the terminal"))?;
        Ok(ExecProcess {
            // Without stdin nothing is typed, but the terminal stays open.
            stdin: self.request.stdin.then(|| Box::new(input) as Input),
            stdout: Some(self.told(Box::new(output), "\r\n")),
            stderr: None,
            child,
            terminal: Some(terminal),
            pid_file: self.pid_file,
            log: self.log,
            _process: self.process,
        })
    }

    fn command(&self, console: Option<&Path>) -> Command {
        let mut command = Command::new(&self.paths.floe_run);
        command
            .kill_on_drop(true)
            .arg("enter")
            .arg(self.init.to_string())
            .arg(&self.paths.crun);
        command
            .arg("--cgroup-manager=disabled")
            .arg("--root")
            .arg(self.paths.crun_root())
            .arg("--log")
            .arg(&self.log)
            .args(["--log-format=json", "exec"]);
        command.arg("--pid-file").arg(&self.pid_file);
        if let Some(socket) = console {
            command.args(["--tty", "--console-socket"]).arg(socket);
        }
        command.arg("--process").arg(self.process.path());
        command.arg(format!("{}-{}", self.target.uid, self.target.container));
        command
    }

    fn io(&self, verb: &'static str) -> impl FnOnce(io::Error) -> ExecError {
        let container = self.target.container.clone();
        move |source| ExecError::Io {
            container,
            verb,
            source,
        }
    }

    /// An output that says why the command was not executed, where it was not.
    fn told(&self, output: Output, line_end: &'static str) -> Output {
        Box::new(Told::new(output, &self.log, &self.request.command, line_end))
    }

    fn refused(&self) -> ExecError {
        let command = self.request.command.first().map_or("", String::as_str);
        let said = Refusal::read(&self.log).map(|refusal| refusal.message(command));
        // At worst an empty file stays until the pod goes.
        drop(fs::remove_file(&self.log));
        ExecError::Refused {
            container: self.target.container.clone(),
            said: said.unwrap_or_else(|| "crun ended and left no reason".to_owned()),
        }
    }
}
