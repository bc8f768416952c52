use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{BackoffConfig, Certificate, ClientOptions, ObjectStore, ObjectStoreExt, RetryConfig};

use crate::credentials::Credentials;
use crate::{BucketError, Settings, Unfinished};

/// Bytes of one part; with 10 000 parts at most, an object is at most 160 GB.
const PART: usize = 16 << 20;
/// Most objects that a listing looks at.
const LISTED: usize = 100_000;
/// How long one request may take, how long a connection, and how long a failed request is tried again.
const REQUEST: Duration = Duration::from_secs(300);
const CONNECT: Duration = Duration::from_secs(10);
const RETRY: RetryConfig = RetryConfig {
    backoff: BackoffConfig {
        init_backoff: Duration::from_millis(200),
        max_backoff: Duration::from_secs(10),
        base: 2.0,
    },
    max_retries: 5,
    retry_timeout: Duration::from_secs(120),
};

/// An object of the bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    /// Its name, without the prefix.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

/// A bucket that was said where to find.
#[derive(Debug, Clone)]
pub struct Bucket {
    store: Arc<AmazonS3>,
    settings: Settings,
}

impl Bucket {
    /// Reads credentials and certificate; asks the server nothing yet.
    ///
    /// # Errors
    ///
    /// Where a file cannot be used, or the settings make no sense together.
    pub fn open(settings: &Settings) -> Result<Self, BucketError> {
        // The first to be installed stays, which is the same one.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut options = ClientOptions::new()
            .with_timeout(REQUEST)
            .with_connect_timeout(CONNECT)
            .with_allow_http(
                settings
                    .endpoint
                    .as_ref()
                    .is_some_and(|url| url.starts_with("http:")),
            );
        for authority in authorities(settings)? {
            options = options.with_root_certificate(authority);
        }
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&settings.bucket)
            .with_region(&settings.region)
            .with_virtual_hosted_style_request(!settings.in_path())
            .with_checksum_algorithm(Checksum::SHA256)
            .with_retry(RETRY)
            .with_client_options(options);
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(host_of(settings, endpoint));
        }
        if let Some(file) = &settings.credentials_file {
            let Credentials { id, secret, token } = Credentials::read(file)?;
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
            builder = match token {
                Some(token) => builder.with_token(token),
                None => builder,
            };
        }
        let store = builder.build().map_err(|error| BucketError::Settings {
            bucket: settings.bucket.clone(),
            why: error.to_string(),
        })?;
        Ok(Self {
            store: Arc::new(store),
            settings: settings.clone(),
        })
    }

    /// Such as `s3://bucket/prefix/name`, for messages.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("s3://{}/{}", self.settings.bucket, self.key(name))
    }

    fn key(&self, name: &str) -> Path {
        Path::from(format!("{}{name}", self.settings.prefix))
    }

    /// The objects whose names begin with the prefix and have no further slash, by name.
    ///
    /// # Errors
    ///
    /// What the server or the way to it refused.
    pub async fn list(&self) -> Result<Vec<Stored>, BucketError> {
        let prefix = self.settings.prefix.as_str();
        // Listings are of folders; what is no whole folder name is compared here.
        let folder = prefix.rsplit_once('/').map(|(folder, _)| Path::from(folder));
        let found = self.store.list(folder.as_ref()).take(LISTED + 1);
        let found: Vec<_> = found
            .try_collect()
            .await
            .map_err(|error| BucketError::of(format!("list {}", self.url("")), error))?;
        let named = found.into_iter().filter_map(|object| {
            let name = object.location.as_ref().strip_prefix(prefix)?;
            (!name.is_empty() && !name.contains('/')).then(|| Stored {
                name: name.to_owned(),
                bytes: object.size,
            })
        });
        let mut stored: Vec<Stored> = named.collect();
        stored.sort();
        Ok(stored)
    }

    /// Uploads all of `file` as the object `name`, which is there only once it is whole and its checksums are right.
    ///
    /// # Errors
    ///
    /// What the server or the way to it refused; nothing is then left there, or `unfinished` tells the next upload.
    pub async fn put(&self, name: &str, file: File, unfinished: &Unfinished) -> Result<u64, BucketError> {
        let key = self.key(name);
        self.clean_up(unfinished).await?;
        let mut parts = Parts::of(file).map_err(|error| self.file("read", name, error))?;
        let expected = parts.bytes;
        match expected <= PART as u64 {
            true => {
                let (_, payload) = parts
                    .next()
                    .await
                    .map_err(|error| self.file("read", name, error))?;
                let put = self.store.put(&key, payload.into()).await;
                put.map_err(|error| self.failed("upload", name, error))?;
            }
            false => self.put_parts(name, &mut parts, unfinished).await?,
        }
        let head = self.store.head(&key).await;
        let found = head.map_err(|error| self.failed("look at", name, error))?.size;
        if found != expected {
            let action = format!("upload {}", self.url(name));
            return Err(BucketError::Incomplete {
                action,
                found,
                expected,
            });
        }
        Ok(expected)
    }

    async fn put_parts(
        &self,
        name: &str,
        parts: &mut Parts,
        unfinished: &Unfinished,
    ) -> Result<(), BucketError> {
        let key = self.key(name);
        let id = self.store.create_multipart(&key).await;
        let id = id.map_err(|error| self.failed("upload", name, error))?;
        unfinished
            .note(key.as_ref(), &id)
            .map_err(|error| self.file("note the upload of", name, error))?;
        let mut sent = Vec::new();
        let uploaded = async {
            loop {
                let (last, payload) = parts
                    .next()
                    .await
                    .map_err(|error| self.file("read", name, error))?;
                let part = self.store.put_part(&key, &id, sent.len(), payload.into()).await;
                sent.push(part.map_err(|error| self.failed("upload", name, error))?);
                if last {
                    break;
                }
            }
            let whole = self.store.complete_multipart(&key, &id, sent).await;
            whole
                .map(drop)
                .map_err(|error| self.failed("end the upload of", name, error))
        };
        let uploaded = uploaded.await;
        if uploaded.is_err() {
            // Where this fails too, the note tells the next upload.
            self.clean_up(unfinished).await?;
            return uploaded;
        }
        unfinished
            .clear()
            .map_err(|error| self.file("forget the upload of", name, error))
    }

    /// Removes what an upload that did not end has left.
    async fn clean_up(&self, unfinished: &Unfinished) -> Result<(), BucketError> {
        let read = unfinished
            .read()
            .map_err(|error| self.file("read the note of an upload to", "", error))?;
        let Some((key, id)) = read else { return Ok(()) };
        match self.store.abort_multipart(&Path::from(key.as_str()), &id).await {
            // It was ended after all, or the server has cleaned up.
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => {
                let action = format!(
                    "remove the unfinished upload of s3://{}/{key}",
                    self.settings.bucket
                );
                return Err(BucketError::of(action, error));
            }
        }
        unfinished
            .clear()
            .map_err(|error| self.file("forget an upload to", "", error))
    }

    /// Writes the object `name` to `into`, and returns its bytes.
    ///
    /// # Errors
    ///
    /// What the server or the way to it refused, or that less arrived than is there.
    pub async fn get(&self, name: &str, into: &mut File) -> Result<u64, BucketError> {
        let got = self.store.get(&self.key(name)).await;
        let got = got.map_err(|error| self.failed("download", name, error))?;
        let expected = got.meta.size;
        let (mut stream, mut found) = (got.into_stream(), 0);
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| self.failed("download", name, error))?;
            found += piece.len() as u64;
            into.write_all(&piece)
                .map_err(|error| self.file("write what came of", name, error))?;
        }
        if found != expected {
            let action = format!("download {}", self.url(name));
            return Err(BucketError::Incomplete {
                action,
                found,
                expected,
            });
        }
        into.sync_all()
            .map_err(|error| self.file("write what came of", name, error))?;
        Ok(found)
    }

    /// Removes the object `name`; one that is not there is removed.
    ///
    /// # Errors
    ///
    /// What the server or the way to it refused.
    pub async fn remove(&self, name: &str) -> Result<(), BucketError> {
        match self.store.delete(&self.key(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }

    fn failed(&self, what: &str, name: &str, error: object_store::Error) -> BucketError {
        BucketError::of(format!("{what} {}", self.url(name)), error)
    }

    fn file(&self, what: &str, name: &str, source: io::Error) -> BucketError {
        let action = format!("{what} {}", self.url(name));
        BucketError::File { action, source }
    }
}

/// With the bucket's name before the host's, where it is not in the path: the library leaves that to us.
fn host_of(settings: &Settings, endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    match endpoint.split_once("://") {
        Some((scheme, rest)) if !settings.in_path() => format!("{scheme}://{}.{rest}", settings.bucket),
        _ => endpoint.to_owned(),
    }
}

fn authorities(settings: &Settings) -> Result<Vec<Certificate>, BucketError> {
    let Some(file) = &settings.ca_file else {
        return Ok(Vec::new());
    };
    let failed = |source| BucketError::Authority {
        file: file.clone(),
        source,
    };
    let pem = std::fs::read(file).map_err(failed)?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| failed(io::Error::other(error)))?;
    match found.is_empty() {
        true => Err(failed(io::Error::other("there is no certificate in it"))),
        false => Ok(found),
    }
}

/// A file in parts, each read when it is needed, off the runtime's threads.
struct Parts {
    file: Arc<File>,
    bytes: u64,
    read: u64,
}

impl Parts {
    fn of(mut file: File) -> io::Result<Self> {
        file.rewind()?;
        Ok(Self {
            bytes: file.metadata()?.len(),
            file: Arc::new(file),
            read: 0,
        })
    }

    /// The next part, and whether it is the last.
    async fn next(&mut self) -> io::Result<(bool, Bytes)> {
        let file = Arc::clone(&self.file);
        let part = tokio::task::spawn_blocking(move || {
            let mut part = Vec::new();
            (&*file).take(PART as u64).read_to_end(&mut part).map(|_| part)
        });
        let part = part.await.map_err(io::Error::other)??;
        self.read += part.len() as u64;
        match part.len() < PART && self.read != self.bytes {
            true => Err(io::Error::other("the file has become shorter")),
            false => Ok((self.read >= self.bytes, Bytes::from(part))),
        }
    }
}
