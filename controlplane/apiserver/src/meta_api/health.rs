//! Version and health.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use controlplane_api::ApiError;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde_json::json;
use tracing::warn;

use crate::reply;
use crate::request::accept;
use crate::request::query::Query;
use crate::server::Inner;

/// Version of Kubernetes whose API this is.
const GIT_VERSION: &str = "v1.36.0+floe";

/// How long the store may take to say that it can be read; upstream's for etcd.
const STORE_ANSWERS: Duration = Duration::from_secs(2);

/// The path of each check.
pub(crate) fn paths() -> impl Iterator<Item = String> {
    let of = |root: &'static str, checks: &'static [Check]| {
        checks.iter().map(move |check| format!("{root}/{}", check.name()))
    };
    of("/healthz", &Check::LIVE)
        .chain(of("/livez", &Check::LIVE))
        .chain(of("/readyz", &Check::READY))
}

/// `/version`.
pub(crate) async fn version(headers: HeaderMap) -> Response {
    let version = json!({
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, platform()),
    });
    accept::plain(&headers)
        .and_then(|encoding| reply::encoded(StatusCode::OK, &version, encoding))
        .unwrap_or_else(reply::failure)
}

/// The architecture in Go's words, which clients compare with.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// One thing that is looked at, under upstream's name where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// The process answers.
    Ping,
    /// What the store keeps on disk is right.
    Store,
    /// The store can be read at its newest state: there is a leader.
    StoreReads,
    /// The first objects are there.
    Started,
    /// No shutdown has begun.
    Shutdown,
}

impl Check {
    const LIVE: [Self; 3] = [Self::Ping, Self::Store, Self::Started];
    const READY: [Self; 5] = [
        Self::Ping,
        Self::Store,
        Self::StoreReads,
        Self::Started,
        Self::Shutdown,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            // Tools leave it out by this name.
            Self::Store => "etcd",
            Self::StoreReads => "etcd-readiness",
            Self::Started => "poststarthook/start-system-namespaces-controller",
            Self::Shutdown => "shutdown",
        }
    }

    /// What is wrong.
    async fn run(self, server: &Inner) -> Option<String> {
        match self {
            Self::Ping => None,
            Self::Store => server.trouble.now(),
            Self::StoreReads => store_reads(server).await,
            Self::Started => {
                let key = crate::dispatch::core_key("namespaces", "kube-node-lease");
                let started = key.is_some_and(|key| server.store.get(&key).is_some());
                (!started).then(|| "the first objects are not there yet".to_owned())
            }
            Self::Shutdown => server
                .stop
                .is_cancelled()
                .then(|| "process is shutting down".to_owned()),
        }
    }
}

async fn store_reads(server: &Inner) -> Option<String> {
    match tokio::time::timeout(STORE_ANSWERS, server.store.read_barrier()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!(
            "the store did not answer in {} s",
            STORE_ANSWERS.as_secs()
        )),
    }
}

/// `/healthz`: as `/livez`.
pub(crate) async fn healthz(State(server): State<Arc<Inner>>, uri: Uri) -> Response {
    answer(&server, "healthz", &Check::LIVE, &uri).await
}

/// `/livez`: the process answers, and starting it anew would not help.
pub(crate) async fn livez(State(server): State<Arc<Inner>>, uri: Uri) -> Response {
    answer(&server, "livez", &Check::LIVE, &uri).await
}

/// `/readyz`: requests can be answered.
pub(crate) async fn readyz(State(server): State<Arc<Inner>>, uri: Uri) -> Response {
    answer(&server, "readyz", &Check::READY, &uri).await
}

/// `/healthz/<check>`.
pub(crate) async fn one_of_healthz(State(server): State<Arc<Inner>>, Path(check): Path<String>) -> Response {
    one(&server, &Check::LIVE, &check).await
}

/// `/livez/<check>`.
pub(crate) async fn one_of_livez(State(server): State<Arc<Inner>>, Path(check): Path<String>) -> Response {
    one(&server, &Check::LIVE, &check).await
}

/// `/readyz/<check>`.
pub(crate) async fn one_of_readyz(State(server): State<Arc<Inner>>, Path(check): Path<String>) -> Response {
    one(&server, &Check::READY, &check).await
}

async fn one(server: &Inner, checks: &[Check], name: &str) -> Response {
    let Some(check) = checks.iter().find(|check| check.name() == name) else {
        return reply::failure(ApiError::no_such_path());
    };
    match check.run(server).await {
        None => text(StatusCode::OK, "ok".to_owned()),
        Some(why) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("internal server error: {why}\n"),
        ),
    }
}

/// Runs `checks`, but for those that the query excludes. Why one failed is in the log and not in the answer, which
/// anybody may ask for.
async fn answer(server: &Inner, name: &str, checks: &[Check], uri: &Uri) -> Response {
    let query = match Query::parse(uri) {
        Ok(query) => query,
        Err(error) => return reply::failure(error),
    };
    let mut excluded: Vec<&str> = query.all("exclude").filter(|name| !name.is_empty()).collect();
    let (mut lines, mut failed) = (String::new(), Vec::new());
    for check in checks {
        let check_name = check.name();
        if excluded.contains(&check_name) {
            excluded.retain(|name| *name != check_name);
            lines.push_str(&format!("[+]{check_name} excluded: ok\n"));
        } else if let Some(why) = check.run(server).await {
            warn!(check = check_name, why, "health check failed");
            lines.push_str(&format!("[-]{check_name} failed: reason withheld\n"));
            failed.push(check_name);
        } else {
            lines.push_str(&format!("[+]{check_name} ok\n"));
        }
    }
    if !excluded.is_empty() {
        let names: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
        lines.push_str(&format!(
            "warn: some health checks cannot be excluded: no matches for {}\n",
            names.join(",")
        ));
    }
    if !failed.is_empty() {
        return text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{lines}{name} check failed\n"),
        );
    }
    let verbose = query.pairs().iter().any(|(name, _)| name == "verbose");
    match verbose {
        true => text(StatusCode::OK, format!("{lines}{name} check passed\n")),
        false => text(StatusCode::OK, "ok".to_owned()),
    }
}

fn text(code: StatusCode, body: String) -> Response {
    let mut response = reply::text(code, body);
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
