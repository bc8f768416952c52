//! What a test may ask of a node, in the words of the NixOS test driver.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long the waiting calls wait before the test fails.
const PATIENCE: Duration = Duration::from_secs(240);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// What a command on a node did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// Its exit code; 128 and the signal's number where one ended it.
    pub code: i32,
    /// Standard output and standard error, in the order they came.
    pub output: String,
}

/// A node with a real systemd; its implementations are a systemd machine and a virtual machine.
pub trait Node {
    /// The node's name.
    fn name(&self) -> &str;

    /// Runs `command` by the node's shell and returns how it ended.
    ///
    /// # Errors
    ///
    /// When the node cannot be asked at all.
    fn execute(&self, command: &str) -> Result<Executed>;

    /// Cuts the node's power: nothing on it gets to know.
    ///
    /// # Errors
    ///
    /// When it is still there afterwards.
    fn crash(&self) -> Result<()>;

    /// Copies the file or folder `host` to `inside`.
    ///
    /// # Errors
    ///
    /// When either side refuses.
    fn copy_from_host(&self, host: &Path, inside: &str) -> Result<()>;

    /// Runs `command`, which must succeed, and returns its output.
    ///
    /// # Errors
    ///
    /// When it fails, with what it printed.
    fn succeed(&self, command: &str) -> Result<String> {
        let done = self.execute(command)?;
        if done.code == 0 {
            return Ok(done.output);
        }
        bail!(
            "{}: `{command}` ended with {}: {}",
            self.name(),
            done.code,
            done.output.trim()
        )
    }

    /// Runs `command`, which must fail, and returns its output.
    ///
    /// # Errors
    ///
    /// When it succeeds.
    fn fail(&self, command: &str) -> Result<String> {
        let done = self.execute(command)?;
        if done.code != 0 {
            return Ok(done.output);
        }
        bail!(
            "{}: `{command}` succeeded where it must not: {}",
            self.name(),
            done.output.trim()
        )
    }

    /// Runs `command` until it succeeds and returns its output.
    ///
    /// # Errors
    ///
    /// When it does not within four minutes, with what it printed last.
    fn wait_until_succeeds(&self, command: &str) -> Result<String> {
        eventually(&format!("`{command}` on {}", self.name()), || {
            self.succeed(command)
        })
    }

    /// Runs `command` until it fails.
    ///
    /// # Errors
    ///
    /// When it does not within four minutes.
    fn wait_until_fails(&self, command: &str) -> Result<String> {
        eventually(&format!("failure of `{command}` on {}", self.name()), || {
            self.fail(command)
        })
    }

    /// Waits until `unit` is active.
    ///
    /// # Errors
    ///
    /// When it is not within four minutes.
    fn wait_for_unit(&self, unit: &str) -> Result<()> {
        self.wait_until_succeeds(&format!("systemctl is-active {unit}"))
            .map(drop)
    }

    /// Waits until something listens on TCP `port`.
    ///
    /// # Errors
    ///
    /// When nothing does within four minutes.
    fn wait_for_open_port(&self, port: u16) -> Result<()> {
        self.wait_until_succeeds(&format!("ss -Hltn 'sport = :{port}' | grep -q ."))
            .map(drop)
    }

    /// Waits until `path` is there.
    ///
    /// # Errors
    ///
    /// When it is not within four minutes.
    fn wait_for_file(&self, path: &str) -> Result<()> {
        self.wait_until_succeeds(&format!("test -e {path}")).map(drop)
    }
}

/// Asks `look` again until it answers.
///
/// # Errors
///
/// Its last error, when it has not answered within four minutes.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return Ok(found),
            Err(last) if start.elapsed() > PATIENCE => {
                return Err(last).with_context(|| format!("waited {} s for {what}", PATIENCE.as_secs()));
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}
