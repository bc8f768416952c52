//! The routes: paths and queries of the kubelet's API, turned into calls on [`PodAccess`].

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use axum::{Json, Router};
use futures::{StreamExt, TryStreamExt};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use k8s_openapi::List;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::access::{ContainerPath, PodAccess, PodPath};
use crate::exec::{self, Kind};
use crate::forward;
use crate::query::{self, Pairs};
use crate::refusal::Refusal;
use crate::upgrade::{Agreed, Upgrade, form};

/// What every request needs.
pub(crate) struct Endpoint<A> {
    /// The node's pods.
    pub(crate) access: Arc<A>,
    /// Owns the conversations that outlive their HTTP request.
    pub(crate) sessions: TaskTracker,
    /// Ends open streams when the server stops.
    pub(crate) stop: CancellationToken,
}

impl<A> Clone for Endpoint<A> {
    fn clone(&self) -> Self {
        Self {
            access: Arc::clone(&self.access),
            sessions: self.sessions.clone(),
            stop: self.stop.clone(),
        }
    }
}

/// The kubelet's paths (kubelet, `pkg/kubelet/server/server.go`); those with a UID insist on that very pod.
pub(crate) fn router<A: PodAccess>(endpoint: Endpoint<A>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/pods", get(pods::<A>))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(logs::<A>))
        .route("/exec/{namespace}/{pod}/{container}", stream(Kind::Exec))
        .route("/exec/{namespace}/{pod}/{uid}/{container}", stream(Kind::Exec))
        .route("/attach/{namespace}/{pod}/{container}", stream(Kind::Attach))
        .route(
            "/attach/{namespace}/{pod}/{uid}/{container}",
            stream(Kind::Attach),
        )
        .route("/portForward/{namespace}/{pod}", forwarding())
        .route("/portForward/{namespace}/{pod}/{uid}", forwarding())
        .with_state(endpoint)
}

/// The segments of a path; those it does not have are absent.
#[derive(Debug, serde::Deserialize)]
struct Segments {
    namespace: String,
    pod: String,
    uid: Option<String>,
    #[serde(default)]
    container: String,
}

impl Segments {
    fn container(self) -> ContainerPath {
        ContainerPath {
            pod: PodPath {
                namespace: self.namespace,
                pod: self.pod,
                uid: self.uid,
            },
            container: self.container,
        }
    }
}

async fn pods<A: PodAccess>(State(endpoint): State<Endpoint<A>>) -> Response {
    let items = endpoint.access.pods().await;
    let list = List {
        items,
        ..List::default()
    };
    Json(list).into_response()
}

/// Streams a log. The body is chunked and each chunk is flushed as soon as no further one is at hand; the
/// stream behind it is dropped when the caller leaves, which hyper notices while it waits.
async fn logs<A: PodAccess>(
    State(endpoint): State<Endpoint<A>>,
    Path(path): Path<Segments>,
    Query(pairs): Query<Pairs>,
) -> Result<Response, Refusal> {
    let options = query::log_options(&pairs)?;
    let container = path.container();
    let lines = endpoint.access.logs(&container, &options).await?;
    let lines = lines
        .take_until(endpoint.stop.clone().cancelled_owned())
        .inspect_err(move |error| {
            let pod = &container.pod;
            warn!(error = error as &dyn std::error::Error, namespace = %pod.namespace, pod = %pod.pod, "log broke off");
        });
    let mut response = Response::new(Body::from_stream(lines));
    let text = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, text);
    Ok(response)
}

/// Exec and attach: GET as WebSocket clients must, POST as SPDY clients do.
fn stream<A: PodAccess>(kind: Kind) -> MethodRouter<Endpoint<A>> {
    let handler = async move |State(endpoint), Path(path), Query(pairs), request| {
        converse::<A>(kind, endpoint, path, pairs, request)
    };
    on(MethodFilter::GET.or(MethodFilter::POST), handler)
}

/// Upgrades first and starts the process afterwards: a refusal then travels on the error channel. kubectl
/// takes a failed upgrade for an old server, tries again by SPDY and shows that attempt's error instead.
fn converse<A: PodAccess>(
    kind: Kind,
    endpoint: Endpoint<A>,
    path: Segments,
    pairs: Pairs,
    mut request: Request,
) -> Result<Response, Refusal> {
    let options = query::exec_options(&pairs)?;
    let upgrade = Upgrade::negotiate(&mut request, &exec::SPOKEN)?;
    let terms = exec::Terms::new(kind, upgrade.agreed(), &options);
    let container = path.container();
    let (response, link) = upgrade.accept();
    let Endpoint {
        access,
        sessions,
        stop,
    } = endpoint;
    sessions.spawn(async move {
        let link = match link.await {
            Ok(link) => link,
            Err(error) => {
                return debug!(
                    error = &error as &dyn std::error::Error,
                    "upgrade did not come about"
                );
            }
        };
        let start = async {
            match kind {
                Kind::Exec => access.exec(&container, &options).await,
                Kind::Attach => access.attach(&container, &options).await,
            }
        };
        exec::serve(link, terms, start, stop).await;
    });
    Ok(response)
}

fn forwarding<A: PodAccess>() -> MethodRouter<Endpoint<A>> {
    on(MethodFilter::GET.or(MethodFilter::POST), forward::<A>)
}

/// Finds the pod before the upgrade: a tunnel has no place for a message that is about no port.
async fn forward<A: PodAccess>(
    State(endpoint): State<Endpoint<A>>,
    Path(path): Path<Segments>,
    Query(pairs): Query<Pairs>,
    mut request: Request,
) -> Result<Response, Refusal> {
    let upgrade = Upgrade::negotiate(&mut request, &forward::SPOKEN)?;
    let by_channels = match upgrade.agreed() {
        Agreed::WebSocket(forward::TUNNEL) | Agreed::Spdy(_) => None,
        Agreed::WebSocket(protocol) => Some((form(protocol), forward::channels::ports(&pairs)?)),
    };
    let network = endpoint.access.network(&path.container().pod).await?;
    let (response, link) = upgrade.accept();
    let Endpoint { sessions, stop, .. } = endpoint;
    sessions.spawn(async move {
        match (link.await, by_channels) {
            (Ok(link), None) => forward::tunnel::serve(link, network, stop).await,
            (Ok(link), Some((form, ports))) => {
                forward::channels::serve(link, form, ports, network, stop).await;
            }
            (Err(error), _) => debug!(
                error = &error as &dyn std::error::Error,
                "upgrade did not come about"
            ),
        }
    });
    Ok(response)
}
