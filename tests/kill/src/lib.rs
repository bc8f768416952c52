//! A process that a test starts, listens to and kills: the test's own program, started again with one test that is otherwise
//! ignored. It gets what it needs by variables, and prints a line for each thing that it has done.
#![expect(clippy::expect_used, reason = "a test that cannot be set up must stop")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The process; killed at the end, where it still runs.
#[derive(Debug)]
pub struct Victim(Child);

impl Victim {
    /// Starts the ignored test called `test` of this program, with `variables` in its environment.
    ///
    /// # Panics
    ///
    /// Where it cannot be started.
    #[must_use]
    pub fn start<'a>(test: &str, variables: impl IntoIterator<Item = (&'a str, &'a OsStr)>) -> Self {
        let own = std::env::current_exe().expect("a test knows its own program");
        let child = Command::new(own)
            .args(["--exact", test, "--ignored", "--nocapture"])
            .envs(variables)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the test's own program can be started"))
    }

    /// Its process.
    #[must_use]
    pub fn child(&self) -> &Child {
        &self.0
    }

    /// Kills it with SIGKILL; one that has ended stays so.
    ///
    /// # Panics
    ///
    /// Where it cannot be signalled.
    pub fn kill(&mut self) {
        self.0.kill().expect("a process of one's own can be killed");
    }

    /// Waits for its end, and returns what stands behind `word` in each line that has it, whole lines only.
    ///
    /// # Panics
    ///
    /// When called twice.
    pub fn said(&mut self, word: &str) -> Vec<String> {
        let output = self.0.stdout.take().expect("it is listened to once");
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        let behind = lines.filter_map(|line| Some(line.rsplit_once(word)?.1.trim().to_owned()));
        let said = behind.collect();
        self.0.wait().expect("a process of one's own can be waited for");
        said
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // Best effort: it may have ended.
        if self.0.kill().is_ok() {
            self.0.wait().ok();
        }
    }
}
