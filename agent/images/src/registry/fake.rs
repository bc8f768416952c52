//! A registry in this process, which misbehaves as told.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::digest;
use crate::fixture::gzip;
use crate::manifest::architecture;

/// What the registry does at one request for a path, instead of answering.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    Status(u16, Option<&'static str>),
    /// Announces all, sends that many bytes, and hangs up.
    Cut(usize),
    /// Announces all, sends that many bytes, and nothing more.
    Stall(usize),
    /// Sends other bytes.
    Other(Vec<u8>),
    /// Never ends.
    Endless,
    Redirect(String),
    /// Answers only after a while.
    Late(Duration),
}

#[derive(Debug, Clone, Default)]
pub(super) enum Auth {
    #[default]
    Open,
    Basic(&'static str, &'static str),
    /// A token service; with a user and password, or anonymous.
    Token(Option<(&'static str, &'static str)>),
    /// A token service that takes a refresh token.
    Identity(&'static str),
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) uri: String,
    pub(super) authorization: Option<String>,
    pub(super) range: Option<String>,
}

#[derive(Debug, Default)]
struct Inside {
    /// By path, with its media type.
    content: BTreeMap<String, (Bytes, String)>,
    faults: BTreeMap<String, VecDeque<Fault>>,
    auth: Auth,
    seen: Vec<Seen>,
    blobs_now: usize,
    blobs_most: usize,
}

pub(super) struct Fake {
    pub(super) address: SocketAddr,
    inside: Arc<Mutex<Inside>>,
    _server: JoinSet<()>,
}

/// The path of a blob or manifest.
pub(super) fn blob_path(repository: &str, digest: &str) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

pub(super) fn manifest_path(repository: &str, reference: &str) -> String {
    format!("/v2/{repository}/manifests/{reference}")
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inside = Arc::new(Mutex::new(Inside::default()));
        let router = Router::new()
            .fallback(answer)
            .with_state((Arc::clone(&inside), address));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            inside,
            _server: server,
        }
    }

    /// The name of an image here.
    pub(super) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    pub(super) fn put(&self, path: String, bytes: &[u8], kind: &str) {
        let content = (Bytes::copy_from_slice(bytes), kind.to_owned());
        self.inside.lock().unwrap().content.insert(path, content);
    }

    pub(super) fn fault(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut inside = self.inside.lock().unwrap();
        inside.faults.entry(path.to_owned()).or_default().extend(faults);
    }

    pub(super) fn auth(&self, auth: Auth) {
        self.inside.lock().unwrap().auth = auth;
    }

    /// The requests since this was last asked.
    pub(super) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.inside.lock().unwrap().seen)
    }

    /// GETs of blobs since this was last asked.
    pub(super) fn blobs(&self) -> Vec<Seen> {
        let all = self.seen().into_iter();
        all.filter(|seen| seen.method == "GET" && seen.uri.contains("/blobs/"))
            .collect()
    }

    /// The most blobs that were sent at a time.
    pub(super) fn most_at_a_time(&self) -> usize {
        self.inside.lock().unwrap().blobs_most
    }

    /// Keeps an image of `layers` (uncompressed tars) under a tag and its digest, which is returned.
    pub(super) fn image(&self, repository: &str, tag: &str, layers: &[Vec<u8>]) -> String {
        let manifest = self.manifest(repository, architecture(), layers, gzip);
        self.tag(repository, tag, &manifest)
    }

    pub(super) fn manifest(
        &self,
        repository: &str,
        arch: &str,
        layers: &[Vec<u8>],
        pack: fn(&[u8]) -> Vec<u8>,
    ) -> Vec<u8> {
        let config = json!({
            "architecture": arch, "os": "linux", "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|l| digest::of(l)).collect::<Vec<_>>()},
        });
        let blob = |kind: &str, bytes: &[u8]| {
            let digest = digest::of(bytes);
            self.put(blob_path(repository, &digest), bytes, "application/octet-stream");
            json!({"mediaType": kind, "size": bytes.len(), "digest": digest})
        };
        let packed = layers
            .iter()
            .map(|l| blob("application/vnd.oci.image.layer.v1.tar+gzip", &pack(l)));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes()),
            "layers": packed.collect::<Vec<_>>(),
        });
        manifest.to_string().into_bytes()
    }

    /// Keeps a manifest or index under `tag` and its digest.
    pub(super) fn tag(&self, repository: &str, tag: &str, bytes: &[u8]) -> String {
        let digest = digest::of(bytes);
        let parsed: Value = serde_json::from_slice(bytes).unwrap();
        let kind = parsed["mediaType"].as_str().unwrap_or_default();
        for reference in [tag, &digest] {
            self.put(manifest_path(repository, reference), bytes, kind);
        }
        digest
    }

    /// An index of (architecture, manifest).
    pub(super) fn index(&self, repository: &str, tag: &str, entries: &[(&str, Vec<u8>)]) -> String {
        let entry = |(arch, manifest): &(&str, Vec<u8>)| {
            let digest = self.tag(repository, "unused", manifest);
            json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": manifest.len(),
                "digest": digest, "platform": {"os": "linux", "architecture": arch},
            })
        };
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": entries.iter().map(entry).collect::<Vec<_>>(),
        });
        self.tag(repository, tag, index.to_string().as_bytes())
    }
}

type Shared = (Arc<Mutex<Inside>>, SocketAddr);

async fn answer(State((inside, address)): State<Shared>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let text = |name| head.headers.get(name).map(|v| v.to_str().unwrap().to_owned());
    let path = head.uri.path().to_owned();
    let seen = Seen {
        method: head.method.to_string(),
        uri: head.uri.to_string(),
        authorization: text(header::AUTHORIZATION),
        range: text(header::RANGE),
    };
    let (auth, fault, content) = {
        let mut inside = inside.lock().unwrap();
        inside.seen.push(seen);
        let fault = inside.faults.get_mut(&path).and_then(VecDeque::pop_front);
        (inside.auth.clone(), fault, inside.content.get(&path).cloned())
    };
    if path == "/token" {
        let form = axum::body::to_bytes(body, 1 << 16).await.unwrap();
        return token(&auth, &head.headers, &form);
    }
    if let Some(refusal) = refuse(&auth, &head.headers, address) {
        return refusal;
    }
    let Some((bytes, kind)) = content else {
        let body = json!({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]});
        return (StatusCode::NOT_FOUND, body.to_string()).into_response();
    };
    let is_blob = path.contains("/blobs/") && head.method == Method::GET;
    let _busy = is_blob.then(|| Busy::new(&inside));
    if let Some(Fault::Late(pause)) = fault {
        tokio::time::sleep(pause).await;
    }
    give(fault, &bytes, &kind, text(header::RANGE))
}

fn give(fault: Option<Fault>, bytes: &Bytes, kind: &str, range: Option<String>) -> Response {
    let (status, from) = match range {
        Some(range) => {
            let from = range.strip_prefix("bytes=").and_then(|r| r.strip_suffix('-'));
            (StatusCode::PARTIAL_CONTENT, from.unwrap().parse().unwrap())
        }
        None => (StatusCode::OK, 0_usize),
    };
    let (length, body) = faulty(fault.as_ref(), bytes.slice(from..));
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, kind)
        .header("docker-content-digest", digest::of(bytes));
    if let Some(length) = length {
        response = response.header(header::CONTENT_LENGTH, length);
    }
    match fault {
        Some(Fault::Status(status, again)) => {
            let mut response = Response::builder().status(status);
            if let Some(again) = again {
                response = response.header(header::RETRY_AFTER, again);
            }
            response.body("busy".into()).unwrap()
        }
        Some(Fault::Redirect(to)) => Response::builder()
            .status(307)
            .header(header::LOCATION, to)
            .body(Body::empty())
            .unwrap(),
        _ => response.body(body).unwrap(),
    }
}

/// Counts blobs under way.
struct Busy(Arc<Mutex<Inside>>);

impl Busy {
    fn new(inside: &Arc<Mutex<Inside>>) -> Self {
        let mut now = inside.lock().unwrap();
        now.blobs_now += 1;
        now.blobs_most = now.blobs_most.max(now.blobs_now);
        Self(Arc::clone(inside))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().unwrap().blobs_now -= 1;
    }
}

fn faulty(fault: Option<&Fault>, bytes: Bytes) -> (Option<usize>, Body) {
    let whole = Some(bytes.len());
    match fault {
        Some(Fault::Cut(at)) => {
            let begin = bytes.slice(..(*at).min(bytes.len()));
            let parts = [Ok(begin), Err(std::io::Error::other("cut"))];
            let parts = futures::stream::iter(parts).then(|part| async move {
                // So that what was sent before is on its way.
                tokio::time::sleep(Duration::from_millis(20)).await;
                part
            });
            (whole, Body::from_stream(parts))
        }
        Some(Fault::Stall(at)) => {
            let begin = bytes.slice(..*at);
            let parts = futures::stream::iter([Ok::<_, std::io::Error>(begin)]);
            (whole, Body::from_stream(parts.chain(futures::stream::pending())))
        }
        Some(Fault::Other(other)) => (Some(other.len()), Body::from(other.clone())),
        Some(Fault::Endless) => {
            let block = Bytes::from(vec![b' '; 1 << 16]);
            let blocks = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(block.clone()));
            (None, Body::from_stream(blocks))
        }
        Some(Fault::Status(..) | Fault::Redirect(_) | Fault::Late(_)) | None => (whole, Body::from(bytes)),
    }
}

fn basic(user: &str, password: &str) -> String {
    let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {both}")
}

fn shown(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()
}

fn refuse(auth: &Auth, headers: &HeaderMap, address: SocketAddr) -> Option<Response> {
    let (expected, challenge) = match auth {
        Auth::Open => return None,
        Auth::Basic(user, password) => (basic(user, password), "Basic realm=\"fake\"".to_owned()),
        Auth::Token(_) | Auth::Identity(_) => (
            "Bearer good".to_owned(),
            format!("Bearer realm=\"http://{address}/token\",service=\"fake\",scope=\"repository:a:pull\""),
        ),
    };
    if shown(headers) == Some(expected.as_str()) {
        return None;
    }
    let body = json!({"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]});
    let headers = [(header::WWW_AUTHENTICATE, challenge)];
    Some((StatusCode::UNAUTHORIZED, headers, body.to_string()).into_response())
}

fn token(auth: &Auth, headers: &HeaderMap, form: &[u8]) -> Response {
    let form = String::from_utf8_lossy(form);
    let good = match auth {
        Auth::Token(Some((user, password))) => shown(headers) == Some(basic(user, password).as_str()),
        Auth::Identity(token) => {
            form.contains("grant_type=refresh_token") && form.contains(&format!("refresh_token={token}"))
        }
        Auth::Token(None) | Auth::Open | Auth::Basic(..) => true,
    };
    if good {
        json!({"access_token": "good", "expires_in": 60})
            .to_string()
            .into_response()
    } else {
        (StatusCode::UNAUTHORIZED, "bad credentials").into_response()
    }
}
