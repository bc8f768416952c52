//! `GET /backup`: the whole store as one SQLite file.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use controlplane_api::{ApiError, UserInfo};
use controlplane_store::StateError;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;

use crate::archive::{SharedArchive, up_to_date};
use crate::auth::authorize;
use crate::reply::{self, Reply, bug};
use crate::server::Inner;

/// The digest of the whole file; RFC 9530, section 3.
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// Bytes that are read, hashed and sent at once.
const CHUNK: usize = 256 << 10;
/// Seconds after which a caller who found another's backup in progress may come again.
const AGAIN: u32 = 10;

/// Answers with a copy that was made now, checked row by row, and hashed.
pub(crate) async fn download(
    State(server): State<Arc<Inner>>,
    Extension(user): Extension<UserInfo>,
) -> Response {
    answer(&server, &user).await.unwrap_or_else(reply::failure)
}

async fn answer(server: &Inner, user: &UserInfo) -> Reply {
    authorize::other_path(user, "/backup")?;
    let archive = server.archive.as_ref().ok_or_else(ApiError::no_such_path)?;
    let warning = up_to_date(&server.store).await;
    let Copy { file, bytes, digest } = copy(archive).await?;
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK);
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.sqlite3"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
    let digest = format!("sha-256=:{}:", BASE64_STANDARD.encode(digest));
    let digest = HeaderValue::from_str(&digest).map_err(|error| bug("write a digest", &error))?;
    headers.insert(REPR_DIGEST, digest);
    reply::add_warnings(&mut response, warning.as_slice());
    Ok(response)
}

/// A backup, ready to be sent.
struct Copy {
    file: File,
    bytes: u64,
    digest: Vec<u8>,
}

async fn copy(shared: &SharedArchive) -> Result<Copy, ApiError> {
    let _turn = shared
        .backups
        .try_acquire()
        .map_err(|_| ApiError::too_many_requests("another backup is being made, try again", AGAIN))?;
    let archive = shared.archive.clone();
    let copied = tokio::task::spawn_blocking(move || {
        let file = archive.unnamed_backup()?;
        hash(file).map_err(|error| StateError::NotWritten(error.into()))
    });
    let copied = copied.await.map_err(|error| bug("make a backup", &error))?;
    copied.map_err(|error| match &error {
        StateError::Full(_) => ApiError::service_unavailable(
            "make a backup: the disk of the server has no space for a second copy of the store".to_owned(),
        ),
        other => bug("make a backup", other),
    })
}

fn hash(mut file: File) -> io::Result<Copy> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut chunk)?;
        let Some(part) = chunk.get(..read).filter(|part| !part.is_empty()) else {
            break;
        };
        hasher.update(part);
        bytes += u64::try_from(read).unwrap_or(0);
    }
    file.rewind()?;
    let digest = hasher.finalize().to_vec();
    Ok(Copy { file, bytes, digest })
}
