//! A real S3 server, run by Python.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]
#![expect(unreachable_pub, reason = "each test program uses some of it")]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use controlplane_bucket::Settings;
use tempfile::TempDir;

/// Names the Python that has moto, where it is not `python3`.
const PYTHON: &str = "FLOE_TEST_PYTHON";

/// The server; ended at the end.
pub struct Server {
    pub folder: TempDir,
    pub port: String,
    pub child: Child,
    output: BufReader<ChildStdout>,
}

impl Server {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bucket/tests/server.py");
        let python = std::env::var_os(PYTHON).unwrap_or_else(|| "python3".into());
        let mut child = Command::new(python)
            .arg(script)
            .arg(folder.path())
            .arg("floe-backups")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self {
            folder,
            port: String::new(),
            child,
            output,
        };
        server.port = server.line();
        assert!(!server.port.is_empty(), "python3 has no moto: see tests/run");
        server
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    pub fn settings(&self) -> Settings {
        settings(self.folder.path(), &self.port)
    }

    pub fn note(&self) -> PathBuf {
        self.folder.path().join("upload")
    }

    /// A file of `bytes` bytes that differ.
    pub fn file(&self, bytes: usize) -> File {
        written(self.folder.path(), bytes)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub fn settings(folder: &Path, port: &str) -> Settings {
    Settings {
        prefix: "clusters/one-".to_owned(),
        endpoint: Some(format!("https://127.0.0.1:{port}")),
        credentials_file: Some(private(&folder.join("credentials"))),
        ca_file: Some(folder.join("ca.pem")),
        ..Settings::of("floe-backups")
    }
}

pub fn private(path: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.to_owned()
}

pub fn written(folder: &Path, bytes: usize) -> File {
    let mut file = tempfile::tempfile_in(folder).unwrap();
    let pattern: Vec<u8> = (0..bytes)
        .map(|at| u8::try_from(at * 7919 % 251).unwrap())
        .collect();
    file.write_all(&pattern).unwrap();
    file
}
