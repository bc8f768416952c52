//! Version and health.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use crate::reply;
use crate::server::Inner;

/// Version of Kubernetes whose API this is.
const GIT_VERSION: &str = "v1.36.0+floe";

/// `/version`.
pub(crate) async fn version() -> Response {
    let version = json!({
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, platform()),
    });
    reply::json(StatusCode::OK, &version).unwrap_or_else(reply::failure)
}

/// The architecture in Go's words, which clients compare with.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `/healthz`: as `/livez`.
pub(crate) async fn healthz(query: RawQuery) -> Response {
    answer("healthz", &[("ping", OK)], query)
}

/// `/livez`: the process answers.
pub(crate) async fn livez(query: RawQuery) -> Response {
    answer("livez", &[("ping", OK)], query)
}

/// `/readyz`: the store answers, the first objects are there, what the store keeps on disk is right, and no shutdown has begun.
pub(crate) async fn readyz(State(server): State<Arc<Inner>>, query: RawQuery) -> Response {
    let started = crate::dispatch::core_key("namespaces", "kube-node-lease");
    let started = started.is_some_and(|key| server.store.get(&key).is_some());
    let withheld = |good: bool| (!good).then(|| "reason withheld".to_owned());
    let checks = [
        ("ping", OK),
        ("start-bootstrap", withheld(started)),
        ("store", server.trouble.now()),
        ("shutdown", withheld(!server.stop.is_cancelled())),
    ];
    answer("readyz", &checks, query)
}

/// Nothing is wrong.
const OK: Option<String> = None;

/// Answers with `checks`: names, and what is wrong.
fn answer(name: &str, checks: &[(&str, Option<String>)], RawQuery(query): RawQuery) -> Response {
    let healthy = checks.iter().all(|(_, wrong)| wrong.is_none());
    let verbose = query.is_some_and(|query| {
        query
            .split('&')
            .any(|pair| pair.split('=').next() == Some("verbose"))
    });
    let lines = checks.iter().map(|(check, wrong)| match wrong {
        None => format!("[+]{check} ok\n"),
        Some(why) => format!("[-]{check} failed: {why}\n"),
    });
    match (healthy, verbose) {
        (true, false) => reply::text(StatusCode::OK, "ok"),
        (true, true) => reply::text(
            StatusCode::OK,
            lines.collect::<String>() + &format!("{name} check passed\n"),
        ),
        (false, _) => {
            let text = lines.collect::<String>() + &format!("{name} check failed\n");
            reply::text(StatusCode::INTERNAL_SERVER_ERROR, text)
        }
    }
}
