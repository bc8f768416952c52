//! Pulls from a real registry: Debian's `docker-registry`, filled by `skopeo`. Skipped where either is missing.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking and says on its output why it was skipped"
)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use agent_images::{ImageStore, Keyring, Puller};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// `alice` and `secret`, as `htpasswd -nbB` writes them.
const HTPASSWD: &str = "alice:$2y$05$OhhkHy7sJQ2gbiXG3/7yLeB1u5XblePtLplyHAB9wN5h29BplGWJq\n";

/// A registry that ends with the test.
struct Registry {
    dir: TempDir,
    process: Child,
    address: SocketAddr,
}

enum Door {
    Open,
    Password,
    Tls,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn can_run() -> bool {
    let has = |program: &str| {
        let asked = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .output();
        asked.is_ok_and(|output| output.status.success())
    };
    let missing: Vec<_> = ["docker-registry", "skopeo", "openssl"]
        .into_iter()
        .filter(|p| !has(p))
        .collect();
    let root = rustix::process::geteuid().is_root();
    if !missing.is_empty() || !root {
        println!("skipped: needs root and {}", missing.join(", "));
    }
    missing.is_empty() && root
}

fn folder() -> TempDir {
    TempDir::with_prefix_in("floe-registry-", "/dev/shm").unwrap()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Makes an authority of that name (`ca.pem`) and a certificate for 127.0.0.1 (`cert.pem`, `key.pem`).
fn certificate(dir: &Path, authority: &str) {
    const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let openssl = |args: &[&str]| run(Command::new("openssl").current_dir(dir).args(args));
    std::fs::write(
        dir.join("leaf"),
        "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
    )
    .unwrap();
    let subject = format!("/CN={authority}");
    let authority = [
        "req", "-x509", "-subj", &subject, "-keyout", "ca.key", "-out", "ca.pem",
    ];
    openssl(&[&authority[..], &KEY].concat());
    let request = [
        "req",
        "-subj",
        "/CN=registry",
        "-keyout",
        "key.pem",
        "-out",
        "request.pem",
    ];
    openssl(&[&request[..], &KEY].concat());
    openssl(&[
        "x509",
        "-req",
        "-in",
        "request.pem",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        "leaf",
        "-out",
        "cert.pem",
    ]);
}

impl Registry {
    fn start(door: &Door) -> Self {
        let dir = folder();
        let path = |name: &str| dir.path().join(name).display().to_string();
        // Free a moment ago: nobody else takes ports of this range in a test run.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = json!({
            "version": 0.1, "log": {"level": "error"},
            "storage": {"filesystem": {"rootdirectory": path("data")}},
            "http": {"addr": address.to_string()},
        });
        match door {
            Door::Open => {}
            Door::Password => {
                std::fs::write(dir.path().join("htpasswd"), HTPASSWD).unwrap();
                config["auth"] = json!({"htpasswd": {"realm": "floe", "path": path("htpasswd")}});
            }
            Door::Tls => {
                certificate(dir.path(), "authority");
                config["http"]["tls"] = json!({"certificate": path("cert.pem"), "key": path("key.pem")});
            }
        }
        let file = dir.path().join("config.yml");
        std::fs::write(&file, config.to_string()).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self {
            dir,
            process,
            address,
        };
        registry.wait();
        registry
    }

    fn wait(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < until, "the registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn name(&self) -> String {
        format!("{}/team/app:v1", self.address)
    }

    /// Pushes an image of one layer that holds the file `hello`.
    fn push(&self, door: &Door) {
        let layout = self.dir.path().join("layout");
        write_layout(&layout);
        let mut command = Command::new("skopeo");
        command.args(["--insecure-policy", "copy", "--dest-tls-verify=false"]);
        if matches!(door, Door::Password) {
            command.args(["--dest-creds", "alice:secret"]);
        }
        run(command
            .arg(format!("oci:{}:v1", layout.display()))
            .arg(format!("docker://{}", self.name())));
    }

    fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }
}

fn write_layout(dir: &Path) {
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let blob = |bytes: &[u8], media: &str| {
        let hex: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        std::fs::write(blobs.join(&hex), bytes).unwrap();
        json!({"digest": format!("sha256:{hex}"), "size": bytes.len(), "mediaType": media})
    };
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    tar.append_data(&mut header, "hello", &b"world"[..]).unwrap();
    let layer = blob(
        &tar.into_inner().unwrap(),
        "application/vnd.oci.image.layer.v1.tar",
    );
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = blob(
        config.to_string().as_bytes(),
        "application/vnd.oci.image.config.v1+json",
    );
    let media = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media, "config": config, "layers": [layer]});
    let mut entry = blob(manifest.to_string().as_bytes(), media);
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    std::fs::write(dir.join("index.json"), index.to_string()).unwrap();
    std::fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// A store with settings.
fn node(settings: &str) -> (TempDir, ImageStore, Puller) {
    let dir = folder();
    let store = ImageStore::open(dir.path().join("store")).unwrap();
    let file = dir.path().join("registries.toml");
    std::fs::write(&file, settings).unwrap();
    let puller = Puller::new(store.clone(), file);
    (dir, store, puller)
}

fn secret(address: SocketAddr, password: &str) -> Keyring {
    let mut keyring = Keyring::default();
    let entry = json!({"auths": {address.to_string(): {"username": "alice", "password": password}}});
    keyring.add_config_json(entry.to_string().as_bytes()).unwrap();
    keyring
}

#[tokio::test]
async fn an_image_that_skopeo_pushed_is_pulled_by_tag_and_by_digest() {
    if !can_run() {
        return;
    }
    let registry = Registry::start(&Door::Open);
    registry.push(&Door::Open);
    let (_dir, _, puller) = node("");
    let none = Keyring::default();
    let image = puller.pull(&registry.name(), &none).await.unwrap().image;
    assert_eq!(
        std::fs::read_to_string(image.layers[0].join("hello")).unwrap(),
        "world"
    );
    let (_other, _, fresh) = node("");
    let by_digest = fresh.pull(&image.repo_digests[0], &none).await.unwrap().image;
    assert_eq!(by_digest.id, image.id);
    let absent = format!("{}/team/nope:v1", registry.address);
    let said = puller.pull(&absent, &none).await.unwrap_err().to_string();
    assert!(said.contains("not found"), "{said}");
}

#[tokio::test]
async fn a_password_opens_and_a_wrong_one_or_none_is_told() {
    if !can_run() {
        return;
    }
    let registry = Registry::start(&Door::Password);
    registry.push(&Door::Password);
    let (_dir, store, puller) = node("");
    let refused = puller.pull(&registry.name(), &Keyring::default()).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("imagePullSecrets"), "{said}");
    let refused = puller
        .pull(&registry.name(), &secret(registry.address, "guess"))
        .await;
    let said = refused.unwrap_err().to_string();
    assert!(
        said.contains("user \"alice\"") && !said.contains("guess"),
        "{said}"
    );
    let right = secret(registry.address, "secret");
    let image = puller.pull(&registry.name(), &right).await.unwrap().image;
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(image.repo_tags, [registry.name()]);
}

#[tokio::test]
async fn tls_is_verified_by_the_file_of_the_settings_and_not_without() {
    if !can_run() {
        return;
    }
    let registry = Registry::start(&Door::Tls);
    registry.push(&Door::Tls);
    let none = Keyring::default();
    let table = format!("[registry.\"{}\"]\n", registry.address);
    let (_a, _, plain) = node("");
    assert!(plain.pull(&registry.name(), &none).await.is_err());
    let (_b, _, known) = node(&format!(
        "{table}ca_file = {:?}\n",
        registry.authority().display().to_string()
    ));
    known.pull(&registry.name(), &none).await.unwrap();
    let (_c, _, unverified) = node(&format!("{table}insecure = true\n"));
    unverified.pull(&registry.name(), &none).await.unwrap();
    let other = folder();
    certificate(other.path(), "stranger");
    let file = other.path().join("ca.pem").display().to_string();
    let (_d, _, stranger) = node(&format!("{table}ca_file = {file:?}\n"));
    let said = stranger
        .pull(&registry.name(), &none)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("certificate") && said.contains("set ca_file"),
        "{said}"
    );
}
