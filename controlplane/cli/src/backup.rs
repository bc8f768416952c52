//! `floe backup`: the whole cluster's state as one file.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use controlplane_store_sqlite::inspect;
use http::{Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::progress::bytes;

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// Where to write it: a plain SQLite file, which holds every object, also Secrets.
    file: PathBuf,
    /// Replace the file where it exists.
    #[arg(long)]
    force: bool,
}

/// Takes a backup of the cluster that `client` speaks to.
///
/// # Errors
///
/// What failed; under the name that was asked for there is then nothing new.
pub(crate) async fn run(client: &Client, args: &BackupArgs) -> anyhow::Result<String> {
    let file = &args.file;
    ensure!(
        args.force || file.symlink_metadata().is_err(),
        "{} exists; name another file, or replace it with --force",
        file.display()
    );
    let what = || format!("write the backup {}", file.display());
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // Beside the file, so that it can take its name; removed where anything fails.
    let mut part = NamedTempFile::with_prefix_in(".floe-backup-", folder).with_context(what)?;
    let response = ask(client).await?;
    let expected = Expected::of(&response)?;
    let received = receive(response, part.as_file_mut(), what).await?;
    expected.check(&received)?;
    part.as_file().sync_all().with_context(what)?;
    let found = inspect(part.path()).context("check the backup that was received")?;
    let kept = match args.force {
        true => part.persist(file),
        false => part.persist_noclobber(file),
    };
    kept.map_err(|error| error.error).with_context(what)?;
    std::fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(what)?;
    let objects: u64 = found.resources.values().map(|share| share.objects).sum();
    Ok(format!(
        "{}: {objects} objects of cluster {} at revision {}, {}",
        file.display(),
        found.cluster_id,
        found.revision,
        bytes(found.file_bytes)
    ))
}

async fn ask(client: &Client) -> anyhow::Result<Response<Body>> {
    let request = Request::get("/backup")
        .body(Body::empty())
        .context("ask for a backup")?;
    let response = client
        .send(request)
        .await
        .map_err(crate::verbs::sentence)
        .context("ask the server for a backup")?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let told: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    match told.get("message").and_then(serde_json::Value::as_str) {
        Some(message) => bail!("ask the server for a backup: {message}"),
        None => bail!("ask the server for a backup: it answered {status}"),
    }
}

/// What the server says of the file: its bytes, and its digest (RFC 9530, section 3).
#[derive(Debug)]
struct Expected {
    bytes: u64,
    digest: Vec<u8>,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
struct Received {
    bytes: u64,
    digest: Vec<u8>,
}

impl Expected {
    fn of<B>(response: &Response<B>) -> anyhow::Result<Self> {
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let digest = text("repr-digest").and_then(|value| {
            let encoded = value.strip_prefix("sha-256=:")?.strip_suffix(':')?;
            BASE64_STANDARD.decode(encoded).ok()
        });
        Ok(Self {
            bytes: text("content-length")
                .and_then(|value| value.parse().ok())
                .context("the server does not say how long the backup is")?,
            digest: digest.context("the server does not say the backup's digest")?,
        })
    }

    fn check(&self, received: &Received) -> anyhow::Result<()> {
        let (expected, bytes) = (self.bytes, received.bytes);
        ensure!(
            bytes == expected,
            "the backup ended after {bytes} of {expected} bytes"
        );
        ensure!(
            received.digest == self.digest,
            "the backup was changed on its way: its digest is not the one that the server told"
        );
        Ok(())
    }
}

async fn receive(
    response: Response<Body>,
    into: &mut impl Write,
    what: impl Fn() -> String,
) -> anyhow::Result<Received> {
    let mut body = response.into_body();
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(crate::verbs::sentence)
            .context("receive the backup")?;
        let Ok(data) = frame.into_data() else { continue };
        hasher.update(&data);
        bytes += u64::try_from(data.len()).unwrap_or(0);
        into.write_all(&data).with_context(&what)?;
    }
    let digest = hasher.finalize().to_vec();
    Ok(Received { bytes, digest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use tower::service_fn;

    /// A server that answers with these bytes and says that they are `told`.
    fn client(sent: &'static [u8], told: &'static [u8]) -> Client {
        let service = service_fn(move |request: Request<Body>| async move {
            assert_eq!(request.uri().path(), "/backup");
            let digest = BASE64_STANDARD.encode(Sha256::digest(told));
            let response = Response::builder()
                .header("content-length", told.len())
                .header("repr-digest", format!("sha-256=:{digest}:"))
                .body(Body::from(sent.to_vec()));
            Ok::<_, Infallible>(response.unwrap())
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn a_backup_that_is_not_whole_or_not_one_never_gets_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        let args = BackupArgs {
            file: file.clone(),
            force: false,
        };
        for (sent, told, expected) in [
            (
                &b"SQLite"[..],
                &b"SQLite format 3"[..],
                "ended after 6 of 15 bytes",
            ),
            (b"SQLite format 4", b"SQLite format 3", "changed on its way"),
            (
                b"no database",
                b"no database",
                "check the backup that was received",
            ),
        ] {
            let refused = run(&client(sent, told), &args).await.unwrap_err();
            assert!(format!("{refused:#}").contains(expected), "{refused:#}");
            assert_eq!(
                std::fs::read_dir(folder.path()).unwrap().count(),
                0,
                "nothing is left"
            );
        }
    }

    #[tokio::test]
    async fn a_file_that_is_there_is_kept_unless_forced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup.db");
        std::fs::write(&file, "mine").unwrap();
        for force in [false, true] {
            let args = BackupArgs {
                file: file.clone(),
                force,
            };
            assert!(run(&client(b"no database", b"no database"), &args).await.is_err());
            assert_eq!(std::fs::read(&file).unwrap(), b"mine");
        }
    }
}
