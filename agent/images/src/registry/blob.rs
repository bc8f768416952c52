//! One layer's blob into a file: resumed where it breaks, bounded, its digest verified at the end.

use std::io::SeekFrom;
use std::time::Instant;

use futures::StreamExt as _;
use http::{Method, StatusCode};
use oci_client::client::{BlobResponse, LayerDescriptor, SizedStream};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use super::error::{RegistryError, Remedy};
use super::patience::Patience;
use super::resolve::RemoteLayer;
use super::session::{Session, Wish};
use crate::digest;
use crate::store::ImageStore;

/// Bytes after which earlier failures count no longer.
const FORGIVEN: u64 = 1 << 20;

/// Fetches `layer` into `file`, which is empty and in `store`.
pub(crate) async fn download(
    store: &ImageStore,
    session: &Session,
    layer: &RemoteLayer,
    file: File,
) -> Result<(), RegistryError> {
    let mut download = Download {
        store,
        session,
        layer,
        what: format!("layer {}", layer.digest),
        file,
        hasher: Sha256::new(),
        got: 0,
    };
    let (mut failures, mut before) = (0, 0);
    loop {
        let Err(error) = download.attempt().await else {
            return download.finish().await;
        };
        if download.got.saturating_sub(before) >= FORGIVEN {
            failures = 0;
        }
        before = download.got;
        failures += 1;
        let pause = match error.remedy() {
            Remedy::Again(asked) => session.patience.pause_after(failures, asked),
            // A token has run out: another is asked for once.
            Remedy::OtherCredentials if failures == 1 => {
                download.authorize().await?;
                continue;
            }
            Remedy::OtherCredentials | Remedy::Elsewhere | Remedy::Nothing => return Err(error),
        };
        if failures >= session.patience.tries {
            return Err(error);
        }
        tracing::debug!(error = %error, got = download.got, "download goes on");
        tokio::time::sleep(pause).await;
    }
}

struct Download<'a> {
    store: &'a ImageStore,
    session: &'a Session,
    layer: &'a RemoteLayer,
    what: String,
    file: File,
    hasher: Sha256,
    /// Bytes that are in the file.
    got: u64,
}

impl Download<'_> {
    /// Reads as far as the stream goes.
    async fn attempt(&mut self) -> Result<(), RegistryError> {
        if self.got == self.layer.size && self.got > 0 {
            return Ok(());
        }
        let mut stream = self.open().await?;
        let (mut window, mut at_window) = (Instant::now(), self.got);
        loop {
            let next = tokio::time::timeout(self.session.patience.stall, stream.next()).await;
            let Ok(next) = next else {
                return Err(self.stalled(self.session.patience.stall));
            };
            let chunk = match next {
                Some(Ok(chunk)) => chunk,
                // The client tells a wrong digest so; ours tells the same once all is there.
                Some(Err(_)) if self.got == self.layer.size => return Ok(()),
                Some(Err(source)) => return Err(RegistryError::broken(&self.what, source)),
                None => break,
            };
            self.take(&chunk).await?;
            if window.elapsed() > self.session.patience.window {
                if self.got.saturating_sub(at_window) < Patience::LEAST {
                    return Err(self.stalled(self.session.patience.window));
                }
                (window, at_window) = (Instant::now(), self.got);
            }
        }
        if self.got < self.layer.size {
            return Err(RegistryError::Truncated {
                what: self.what.clone(),
                got: self.got,
                size: self.layer.size,
            });
        }
        Ok(())
    }

    /// Asks for what is missing. The client reads an error's body whole, so the deadline is its bound.
    async fn open(&mut self) -> Result<SizedStream, RegistryError> {
        let within = self.session.patience.stall;
        match tokio::time::timeout(within, self.request()).await {
            Ok(opened) => opened,
            Err(_) => Err(self.stalled(within)),
        }
    }

    async fn request(&mut self) -> Result<SizedStream, RegistryError> {
        let client = self.session.blobs().await?;
        let reference = self.session.endpoint.blob_reference(&self.layer.digest);
        // Addresses in the manifest itself are not followed: whoever wrote it may not choose whom a node asks.
        let blob = LayerDescriptor {
            digest: &self.layer.digest,
            urls: &None,
        };
        if self.got == 0 {
            let opened = client.pull_blob_stream(&reference, &blob).await;
            return opened.map_err(|error| self.translate(error));
        }
        let opened = client
            .pull_blob_stream_partial(&reference, &blob, self.got, None)
            .await;
        match opened.map_err(|error| self.translate(error))? {
            BlobResponse::Partial(stream) => Ok(stream),
            BlobResponse::Full(stream) => {
                self.start_over().await?;
                Ok(stream)
            }
        }
    }

    async fn take(&mut self, chunk: &[u8]) -> Result<(), RegistryError> {
        self.got = self.got.saturating_add(chunk.len() as u64);
        if self.got > self.layer.size {
            return Err(RegistryError::TooLong {
                what: self.what.clone(),
                limit: self.layer.size,
            });
        }
        self.hasher.update(chunk);
        self.file.write_all(chunk).await.map_err(|e| self.disk(e))
    }

    async fn start_over(&mut self) -> Result<(), RegistryError> {
        self.hasher = Sha256::new();
        self.got = 0;
        let emptied = async {
            self.file.flush().await?;
            self.file.set_len(0).await?;
            self.file.seek(SeekFrom::Start(0)).await
        };
        emptied.await.map(drop).map_err(|e| self.disk(e))
    }

    async fn finish(mut self) -> Result<(), RegistryError> {
        self.file.flush().await.map_err(|e| self.disk(e))?;
        let actual = digest::text(&self.hasher.finalize());
        if actual == self.layer.digest {
            return Ok(());
        }
        Err(RegistryError::WrongDigest {
            what: self.what,
            expected: self.layer.digest.clone(),
            actual,
        })
    }

    /// Asks for the blob's head alone, by which the session learns what to show.
    async fn authorize(&self) -> Result<(), RegistryError> {
        let wish = Wish {
            what: &self.what,
            method: Method::HEAD,
            path: format!("blobs/{}", self.layer.digest),
            accept: "*/*",
            limit: 0,
        };
        self.session.ask(&wish).await.map(drop)
    }

    fn stalled(&self, within: std::time::Duration) -> RegistryError {
        RegistryError::Stalled {
            what: self.what.clone(),
            within,
        }
    }

    fn disk(&self, source: std::io::Error) -> RegistryError {
        self.store.io_error(format!("write {}", self.what), source).into()
    }

    /// The client's errors, in our words.
    fn translate(&self, error: OciDistributionError) -> RegistryError {
        let refusal = |status: StatusCode, said: &str| self.session.refusal(&self.what, status, said, None);
        match error {
            OciDistributionError::RequestError(source) => RegistryError::unreachable(&self.what, source),
            OciDistributionError::IoError(source) => RegistryError::broken(&self.what, source),
            OciDistributionError::UnauthorizedError { .. } => refusal(StatusCode::UNAUTHORIZED, ""),
            OciDistributionError::ServerError { code, .. } => {
                refusal(StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY), "")
            }
            OciDistributionError::RegistryError { envelope, .. } => {
                let status = match envelope.errors.first().map(|e| &e.code) {
                    Some(OciErrorCode::Toomanyrequests) => StatusCode::TOO_MANY_REQUESTS,
                    Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => StatusCode::FORBIDDEN,
                    Some(
                        OciErrorCode::BlobUnknown | OciErrorCode::NameUnknown | OciErrorCode::ManifestUnknown,
                    ) => StatusCode::NOT_FOUND,
                    Some(_) | None => StatusCode::BAD_REQUEST,
                };
                refusal(status, "")
            }
            other => RegistryError::Broken {
                what: self.what.clone(),
                source: std::io::Error::other(other),
            },
        }
    }
}
