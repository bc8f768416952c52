//! An OCI image of nginx: Debian's packages in one layer, packed as an archive.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use controlplane_machine::RootSpec;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The name under which the demo's pods ask for the image.
pub(super) const REFERENCE: &str = "localhost/floe-demo:1";

const ROOT: RootSpec = RootSpec {
    suite: "bookworm",
    variant: "extract",
    packages: &["nginx-light"],
};

/// Files beside Debian's: accounts, and a configuration that serves one folder and logs to the journal.
const FILES: [(&str, &str); 3] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/usr/sbin/nologin\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n",
    ),
    ("etc/group", "root:x:0:\nwww-data:x:33:\n"),
    ("etc/nginx/nginx.conf", include_str!("nginx.conf")),
];

const FOLDERS: [&str; 5] = ["run", "tmp", "proc", "sys", "var/lib/nginx"];

/// The archive in `cache`, made where it is missing, and whether it was.
pub(crate) fn archive(cache: &Path) -> anyhow::Result<(PathBuf, String)> {
    let path = ROOT.path(cache).with_extension(format!("{}.tar", content_key()));
    if path.is_file() {
        return Ok((path, "cached".to_owned()));
    }
    let root = ROOT.ensure(cache).context("unpack nginx from Debian packages")?;
    let partial = path.with_extension("partial");
    pack(&root.path, &partial).context("pack the demo's image")?;
    std::fs::rename(&partial, &path).with_context(|| format!("rename {}", partial.display()))?;
    Ok((path, "nginx from Debian packages".to_owned()))
}

/// Writes the archive to `target`.
pub(crate) fn export(target: &Path) -> anyhow::Result<()> {
    if target.exists() {
        bail!("{} exists already; name a file that does not", target.display());
    }
    let (archive, _) = archive(Path::new(crate::cluster::CACHE))?;
    std::fs::copy(&archive, target).with_context(|| format!("write {}", target.display()))?;
    Ok(())
}

/// Changes with the files that this program adds, so that a new version packs anew.
fn content_key() -> String {
    let mut digest = Sha256::new();
    FILES
        .iter()
        .for_each(|(path, text)| digest.update(format!("{path}\0{text}\0")));
    hex(&digest.finalize()).chars().take(8).collect()
}

fn pack(root: &Path, target: &Path) -> anyhow::Result<()> {
    let layer = layer(root)?;
    let config = serde_json::to_vec(&json!({
        "architecture": architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": ["/usr/sbin/nginx"],
            "Cmd": ["-g", "daemon off;"],
            "ExposedPorts": { "80/tcp": {} },
            "StopSignal": "SIGQUIT",
            "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    }))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    }))?;
    let mut described = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    if let Some(fields) = described.as_object_mut() {
        fields.insert(
            "annotations".to_owned(),
            json!({ "org.opencontainers.image.ref.name": REFERENCE }),
        );
    }
    let index = serde_json::to_vec(&json!({ "schemaVersion": 2, "manifests": [described] }))?;
    let mut out = tar::Builder::new(BufWriter::new(File::create(target)?));
    append(&mut out, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    append(&mut out, "index.json", &index)?;
    for blob in [&config, &manifest, &layer] {
        append(
            &mut out,
            &format!("blobs/sha256/{}", hex(&Sha256::digest(blob))),
            blob,
        )?;
    }
    out.into_inner()?.flush()?;
    Ok(())
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "amd64"
    }
}

/// The image's only layer as a tar of `root` and of what the demo adds.
fn layer(root: &Path) -> anyhow::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.mode(tar::HeaderMode::Deterministic);
    builder.follow_symlinks(false);
    builder.append_dir_all(".", root)?;
    for folder in FOLDERS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(if folder == "tmp" { 0o1777 } else { 0o755 });
        header.set_size(0);
        builder.append_data(&mut header, format!("{folder}/"), std::io::empty())?;
    }
    for (path, text) in FILES {
        append(&mut builder, path, text.as_bytes())?;
    }
    Ok(builder.into_inner()?)
}

fn append(builder: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(u64::try_from(bytes.len())?);
    Ok(builder.append_data(&mut header, path, bytes)?)
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(blob), "size": blob.len() })
}

fn digest(blob: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(blob)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
