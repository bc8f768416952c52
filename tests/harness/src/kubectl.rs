//! The real kubectl.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{execute, succeed};
use crate::{Executed, eventually};

/// kubectl with a kubeconfig.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// The kubectl that `FLOE_KUBECTL` names, with the credentials in `kubeconfig`.
    ///
    /// # Errors
    ///
    /// When the variable is not set: `tests/run` sets it.
    pub fn new(kubeconfig: &Path) -> Result<Self> {
        Self::named_by("FLOE_KUBECTL", kubeconfig)
    }

    /// The oldest kubectl that is supported, 1.20, which `FLOE_KUBECTL_OLD` names.
    ///
    /// # Errors
    ///
    /// When the variable is not set: `tests/run` sets it.
    pub fn old(kubeconfig: &Path) -> Result<Self> {
        Self::named_by("FLOE_KUBECTL_OLD", kubeconfig)
    }

    fn named_by(variable: &str, kubeconfig: &Path) -> Result<Self> {
        let program =
            std::env::var_os(variable).with_context(|| format!("{variable} is not set; use tests/run"))?;
        Ok(Self {
            program: program.into(),
            kubeconfig: kubeconfig.to_owned(),
        })
    }

    /// The command `kubectl` with `words`.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(words);
        // kubectl keeps discovery there; tests of different clusters must not share it.
        command.env("KUBECACHEDIR", self.kubeconfig.with_extension("cache"));
        command
    }

    /// Runs kubectl with `words`, which must succeed.
    ///
    /// # Errors
    ///
    /// When it fails, with what it printed.
    pub fn succeed(&self, words: &[&str]) -> Result<String> {
        succeed(&mut self.command(words))
    }

    /// A namespace of a test's own, made now.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn namespace(&self, name: &str) -> Result<Namespace> {
        let namespace = Namespace {
            kubectl: self.clone(),
            name: name.to_owned(),
        };
        namespace.feed(&["create", "-f", "-"], &manifest(name))?;
        Ok(namespace)
    }
}

fn manifest(namespace: &str) -> String {
    serde_json::json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } })
        .to_string()
}

/// kubectl in one namespace.
#[derive(Debug, Clone)]
pub struct Namespace {
    kubectl: Kubectl,
    name: String,
}

impl Namespace {
    /// The namespace's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.kubectl.command(&["--namespace", &self.name]);
        command.args(words);
        command
    }

    /// Runs kubectl and returns how it ended.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn execute(&self, words: &[&str]) -> Result<Executed> {
        execute(&mut self.command(words))
    }

    /// Runs kubectl, which must succeed.
    ///
    /// # Errors
    ///
    /// When it fails, with what it printed.
    pub fn succeed(&self, words: &[&str]) -> Result<String> {
        succeed(&mut self.command(words))
    }

    /// Runs kubectl, which must fail; returns what it printed.
    ///
    /// # Errors
    ///
    /// When it succeeds.
    pub fn fail(&self, words: &[&str]) -> Result<String> {
        let done = self.execute(words)?;
        if done.code != 0 {
            return Ok(done.output);
        }
        bail!("kubectl {words:?} succeeded where it must not: {}", done.output)
    }

    /// Starts kubectl with pipes to all three of its standard streams.
    fn begin(&self, words: &[&str]) -> Result<Child> {
        let mut command = self.command(words);
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(piped.spawn()?)
    }

    /// Runs kubectl with `input` on its standard input; it must succeed.
    ///
    /// # Errors
    ///
    /// When it fails, with what it printed.
    pub fn feed(&self, words: &[&str], input: &str) -> Result<String> {
        let mut child = self.begin(words)?;
        child
            .stdin
            .take()
            .context("no standard input")?
            .write_all(input.as_bytes())?;
        let done = child.wait_with_output()?;
        let output = String::from_utf8_lossy(&done.stdout).into_owned();
        if done.status.success() {
            return Ok(output);
        }
        bail!(
            "kubectl {words:?} failed: {output}{}",
            String::from_utf8_lossy(&done.stderr)
        )
    }

    /// Applies `manifest` as client-side apply does.
    ///
    /// # Errors
    ///
    /// When the API server refuses it.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        self.feed(&["apply", "--server-side=false", "-f", "-"], manifest)
    }

    /// Runs kubectl with `input` on its standard input, which stays open until `wanted` has been printed: who takes the
    /// end of the input for the end of the session may not hear all that is said after it. It must succeed; returns what
    /// it printed.
    ///
    /// # Errors
    ///
    /// When it fails, or ends before it has printed that, with what it printed.
    pub fn talk(&self, words: &[&str], input: &str, wanted: &str) -> Result<String> {
        let mut child = self.begin(words)?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let mut stdout = child.stdout.take().context("no standard output")?;
        stdin.write_all(input.as_bytes())?;
        let (mut said, mut piece) = (Vec::new(), [0; 4096]);
        while !String::from_utf8_lossy(&said).contains(wanted) {
            match stdout.read(&mut piece)? {
                0 => break,
                count => said.extend(piece.get(..count).unwrap_or_default()),
            }
        }
        drop(stdin);
        stdout.read_to_end(&mut said)?;
        let done = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&said).into_owned();
        if done.status.success() && said.contains(wanted) {
            return Ok(said);
        }
        bail!(
            "kubectl {words:?} ended with {} and without {wanted:?}: {said}{}",
            done.status,
            String::from_utf8_lossy(&done.stderr)
        )
    }

    /// Starts kubectl in the background with its output kept; the caller ends it.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(&self, words: &[&str]) -> Result<Child> {
        let mut command = self.command(words);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().context("start kubectl")
    }

    /// The object as JSON.
    ///
    /// # Errors
    ///
    /// When it is not there.
    pub fn get(&self, kind: &str, name: &str) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.succeed(&["get", kind, name, "-o", "json"])?,
        )?)
    }

    /// Waits until `accept` says yes to the object, and returns it.
    ///
    /// # Errors
    ///
    /// When it does not within four minutes, with the object's status.
    pub fn wait_for(&self, kind: &str, name: &str, accept: impl Fn(&Value) -> bool) -> Result<Value> {
        eventually(&format!("{kind} {name} in {}", self.name), || {
            let object = self.get(kind, name)?;
            if accept(&object) {
                return Ok(object);
            }
            bail!("its status is {}", object.get("status").unwrap_or(&Value::Null))
        })
    }
}
