//! The process crun is to start in the container: the container's own with another command.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use agent_run::CONFIG_FILE;
use serde_json::{Value, json};

use super::ExecRequest;

/// A file that goes with its owner; it holds the container's variables, so 0600.
#[derive(Debug)]
pub(super) struct ProcessFile(PathBuf);

impl ProcessFile {
    /// Writes the process for `request` in the container's folder. crun would run the command as
    /// root with flags alone, so user, groups, variables and capabilities are the container's.
    pub(super) fn write(dir: &Path, name: &str, request: &ExecRequest) -> io::Result<Self> {
        let config: Value = serde_json::from_slice(&fs::read(dir.join(CONFIG_FILE))?)?;
        let process = process(&config, request)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "config.json has no process"))?;
        let file = Self(dir.join(name));
        let mut out = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file.0)?;
        out.write_all(&serde_json::to_vec(&process)?)?;
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ProcessFile {
    fn drop(&mut self) {
        // It goes with the pod's folder at the latest.
        drop(fs::remove_file(&self.0));
    }
}

fn process(config: &Value, request: &ExecRequest) -> Option<Value> {
    let mut process = config.get("process")?.clone();
    let object = process.as_object_mut()?;
    let mut env = object
        .get("env")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let term = request.tty.then_some(("TERM", "xterm"));
    let more = request
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in term.into_iter().chain(more) {
        let start = format!("{name}=");
        env.retain(|line| !line.as_str().is_some_and(|l| l.starts_with(&start)));
        env.push(json!(format!("{start}{value}")));
    }
    object.insert("env".into(), Value::Array(env));
    object.insert("args".into(), json!(request.command));
    object.insert("terminal".into(), json!(request.tty));
    Some(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_command_terminal_and_variables_differ_from_the_containers_process() {
        let config =
            json!({"process": {"user": {"uid": 7}, "args": ["a"], "env": ["TERM=dumb", "A=1"], "cwd": "/w"}});
        let request = ExecRequest {
            command: vec!["b".into()],
            tty: true,
            ..ExecRequest::default()
        };
        let expected = json!({"user": {"uid": 7}, "args": ["b"], "env": ["A=1", "TERM=xterm"], "cwd": "/w", "terminal": true});
        assert_eq!(process(&config, &request), Some(expected));
    }
}
