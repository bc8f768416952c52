//! Builds layers and archives for tests.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tar::{EntryType, Header};
use tempfile::TempDir;

use crate::digest;
use crate::manifest::architecture;

/// Whether this test can run: owners, devices and trusted attributes need root.
pub(crate) fn root_only() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: unpacking layers needs root");
    }
    root
}

/// A folder that is not on an overlay: `/tmp` may be, in a container.
pub(crate) fn folder() -> TempDir {
    TempDir::with_prefix_in("floe-images-", "/dev/shm").unwrap()
}

/// A layer in the making.
pub(crate) struct LayerTar(tar::Builder<Vec<u8>>);

impl LayerTar {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn header(name: &str, kind: EntryType, mode: u32, owner: u64) -> Header {
        let mut header = Header::new_gnu();
        // Written raw: the builder would refuse the paths some tests are about.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_mtime(1_000_000_000);
        header.set_size(0);
        header
    }

    fn push(mut self, mut header: Header, data: &[u8]) -> Self {
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    pub(crate) fn file(self, name: &str, data: &str) -> Self {
        self.push(Self::header(name, EntryType::Regular, 0o644, 0), data.as_bytes())
    }

    pub(crate) fn owned(self, name: &str, mode: u32, owner: u64) -> Self {
        self.push(Self::header(name, EntryType::Regular, mode, owner), b"x")
    }

    pub(crate) fn dir(self, name: &str, mode: u32) -> Self {
        self.push(Self::header(name, EntryType::Directory, mode, 0), b"")
    }

    pub(crate) fn link(self, kind: EntryType, name: &str, target: &str) -> Self {
        let mut header = Self::header(name, kind, 0o777, 0);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        self.push(header, b"")
    }

    pub(crate) fn device(self, name: &str, major: u32, minor: u32) -> Self {
        let mut header = Self::header(name, EntryType::Char, 0o666, 0);
        header.set_device_major(major).unwrap();
        header.set_device_minor(minor).unwrap();
        self.push(header, b"")
    }

    pub(crate) fn xattr(mut self, name: &str, value: &[u8]) -> Self {
        self.0
            .append_pax_extensions([(format!("SCHILY.xattr.{name}").as_str(), value)])
            .unwrap();
        self
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// An OCI layout in the making.
pub(crate) struct Layout {
    pub(crate) dir: TempDir,
    manifests: Vec<Value>,
}

impl Layout {
    pub(crate) fn new() -> Self {
        Self {
            dir: folder(),
            manifests: Vec::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn blob(&self, bytes: &[u8]) -> String {
        let digest = digest::of(bytes);
        let folder = self.path().join("blobs/sha256");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(digest::hex(&digest).unwrap()), bytes).unwrap();
        digest
    }

    /// Adds an image of `layers` (uncompressed tars), stored as `pack` makes them.
    pub(crate) fn manifest(&self, arch: &str, layers: &[Vec<u8>], pack: fn(&[u8]) -> Vec<u8>) -> Value {
        let config = json!({
            "architecture": arch, "os": "linux", "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|l| digest::of(l)).collect::<Vec<_>>()},
        });
        let descriptor = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "size": bytes.len(), "digest": self.blob(bytes)});
        let packed = layers
            .iter()
            .map(|l| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &pack(l)));
        let manifest = json!({
            "schemaVersion": 2,
            "config": descriptor("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes()),
            "layers": packed.collect::<Vec<_>>(),
        });
        descriptor(
            "application/vnd.oci.image.manifest.v1+json",
            manifest.to_string().as_bytes(),
        )
    }

    pub(crate) fn list(mut self, mut descriptor: Value, name: Option<&str>) -> Self {
        if let Some(name) = name {
            descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        }
        self.manifests.push(descriptor);
        std::fs::write(
            self.path().join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .unwrap();
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        std::fs::write(self.path().join("index.json"), index.to_string()).unwrap();
        self
    }

    pub(crate) fn image(self, name: &str, layers: &[Vec<u8>]) -> Self {
        let descriptor = self.manifest(architecture(), layers, gzip);
        self.list(descriptor, Some(name))
    }

    /// The layout as a tar file; a compressed one where `pack` compresses.
    pub(crate) fn tar(&self, pack: fn(&[u8]) -> Vec<u8>) -> PathBuf {
        let mut builder = tar::Builder::new(Vec::new());
        for part in ["blobs", "index.json", "oci-layout"] {
            let path = self.path().join(part);
            if path.is_dir() {
                builder.append_dir_all(part, path).unwrap()
            } else {
                builder.append_path_with_name(path, part).unwrap()
            }
        }
        let path = self.path().join("archive.tar");
        std::fs::write(&path, pack(&builder.into_inner().unwrap())).unwrap();
        path
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

pub(crate) fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}
