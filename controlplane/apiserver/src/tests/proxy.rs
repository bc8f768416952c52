//! The subresource `proxy`, beside an agent of a few lines.

use std::net::{IpAddr, Ipv4Addr};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use controlplane_pki::{CertificateAuthority, Request as Csr};
use controlplane_store::{MemoryState, Options, Store};
use futures::StreamExt;
use http::header::{CONNECTION, HOST, LOCATION, UPGRADE};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tower::Service;

use super::agent::{SECURED, agent};
use super::{Answer, Api, PODS, bound_pod};
use crate::{Clock, NodeClient, ServingCertificate, SystemClock, server_config};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ENDPOINTS: &str = "/api/v1/namespaces/default/endpoints";

/// A cluster with one node `n1`, whose agent forwards every port of every pod to a server of its own.
pub(super) struct World {
    pub(super) api: Api,
    tasks: JoinSet<()>,
    port: u16,
}

impl World {
    async fn start() -> Self {
        Self::over(Options::default()).await
    }

    pub(super) async fn over(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemClock.now();
        let authority = CertificateAuthority::load_or_create(folder.path(), "cluster", now).unwrap();
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let serving = authority
            .issue(&Csr::server("n1", Vec::new(), vec![here]), now)
            .unwrap();
        let client = authority
            .issue(&Csr::client("kube-apiserver-kubelet-client", None), now)
            .unwrap();
        let certificate = ServingCertificate::new(&serving.certificate_pem, &serving.key_pem).unwrap();
        let tls = server_config(authority.certificate_pem(), &certificate).unwrap();
        let listener = TcpListener::bind((here, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let nodes = NodeClient::new(
            authority.certificate_pem(),
            &client.certificate_pem,
            &client.key_pem,
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(agent(listener, TlsAcceptor::from(tls)));
        let store = Store::open(MemoryState::default(), options).unwrap();
        let api = Api::with(store, None, Some(nodes.unwrap())).await;
        let world = Self { api, tasks, port };
        world.node().await;
        world
    }

    async fn node(&self) {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
        assert_eq!(self.api.post("/api/v1/nodes", &node).await.code, 201);
        let status = json!({"status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
        }});
        let done = self
            .api
            .patch("/api/v1/nodes/n1/status", "merge-patch+json", &status)
            .await;
        assert_eq!(done.code, 200, "{}", done.body);
    }

    /// A running pod with an address.
    pub(super) async fn pod(&self, name: &str, address: &str) {
        bound_pod(&self.api, name).await;
        let status = json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}});
        let path = format!("{PODS}/{name}/status");
        let done = self.api.patch(&path, "merge-patch+json", &status).await;
        assert_eq!(done.code, 200, "{}", done.body);
    }

    /// A connection to the API server on which HTTP/1.1 is spoken.
    pub(super) fn connection(&self, tasks: &mut JoinSet<()>) -> DuplexStream {
        let (near, far) = duplex(64 * 1024);
        let service = self.api.service.clone();
        tasks.spawn(async move {
            let service = service_fn(move |request| service.clone().call(request));
            let http =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
            drop(http.with_upgrades().await);
        });
        near
    }

    async fn get(&self, path: &str) -> Answer {
        self.api.get(path).await
    }

    /// The answer with its body as text.
    async fn text(&self, path: &str, headers: &[(http::HeaderName, &str)]) -> (http::HeaderMap, String) {
        let response = self.api.open("GET", path, headers, Vec::new()).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.headers, String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// What the server behind the proxy was told.
fn told(answer: &Answer) -> (String, String) {
    let text = |name: &str| answer.body[name].as_str().unwrap_or_default().to_owned();
    (text("method"), text("uri"))
}

fn proxy(name: &str, path: &str) -> String {
    format!("{PODS}/{name}/proxy{path}")
}

#[tokio::test]
async fn requests_of_every_method_arrive_with_path_query_and_body() {
    let world = World::start().await;
    world.pod("web", "10.42.0.5").await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let path = proxy("web:8080", "/a//b%2Fc/?d=e%20f&watch=true");
        let body = b"{\"not\": our business".to_vec();
        let answer = world.api.send(method, &path, &[(HOST, "api")], body).await;
        assert_eq!(answer.code, 200, "{method}: {}", answer.body);
        let expected = (method.to_owned(), "/a//b%2Fc/?d=e%20f&watch=true".to_owned());
        assert_eq!(told(&answer), expected);
        assert_eq!(answer.body["body"], "{\"not\": our business", "{method}");
    }
    assert_eq!(
        world
            .api
            .send("HEAD", &proxy("web", "/x"), &[], Vec::new())
            .await
            .code,
        200
    );
}

#[tokio::test]
async fn credentials_stay_here_and_the_way_is_told() {
    let world = World::start().await;
    world.pod("web", "10.42.0.5").await;
    let headers = [
        (http::header::COOKIE, "kept=1"),
        (http::header::HeaderName::from_static("impersonate-user"), "root"),
        (HOST, "api:6443"),
    ];
    let answer = world
        .api
        .send("GET", &proxy("web", "/x/"), &headers, Vec::new())
        .await;
    let said = &answer.body["headers"];
    assert_eq!(said["cookie"], "kept=1");
    assert_eq!(said["host"], "api:6443");
    assert_eq!(said["x-forwarded-uri"], proxy("web", "/x/"));
    assert_eq!(said["impersonate-user"], Value::Null);
}

#[tokio::test]
async fn pages_and_redirects_lead_back_through_the_proxy_and_are_not_followed() {
    let world = World::start().await;
    world.pod("web", "10.42.0.5").await;
    let (headers, text) = world.text(&proxy("web", "/page"), &[]).await;
    assert_eq!(text, format!("<a href=\"{}\">y</a>", proxy("web", "/x")));
    assert!(!headers.contains_key("access-control-allow-origin"));
    let (headers, text) = world.text(&proxy("web", "/packed"), &[]).await;
    assert!(!headers.contains_key("content-encoding"));
    assert_eq!(text.matches(&proxy("web", "/x")).count(), 10_000);
    let moved = world.get(&proxy("web", "/moved")).await;
    assert_eq!(moved.code, 302);
    assert_eq!(moved.headers[LOCATION], proxy("web", "/there?a=b"));
    let root = world.get(&proxy("web", "?a=b")).await;
    assert_eq!(root.code, 301);
    assert_eq!(root.headers[LOCATION], proxy("web", "/?a=b"));
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_as_upstream_does() {
    let world = World::start().await;
    world.pod("web", "10.42.0.5").await;
    world.pod("loop", "127.0.0.1").await;
    let cases = [
        (proxy("web:9", "/"), 503, "error trying to reach service: "),
        (proxy("web:http", "/"), 503, "error trying to reach service: "),
        (proxy("ftp:web:1", "/"), 400, "invalid pod request \"ftp:web:1\""),
        (proxy("loop", "/"), 400, "address not allowed"),
        (proxy("none", "/"), 404, "pods \"none\" not found"),
        (
            "/api/v1/nodes/n2/proxy/".to_owned(),
            404,
            "nodes \"n2\" not found",
        ),
        (
            format!("{SERVICES}/none/proxy/"),
            404,
            "endpoints \"none\" not found",
        ),
        (
            format!("{SERVICES}/none:80/proxy/"),
            404,
            "services \"none\" not found",
        ),
    ];
    for (path, code, message) in cases {
        let answer = world.get(&path).await;
        assert_eq!(
            (answer.code, &answer.body["kind"]),
            (code, &json!("Status")),
            "{path}"
        );
        let said = answer.body["message"].as_str().unwrap();
        assert!(said.starts_with(message), "{path}: {said}");
    }
    let refused = world.get(&proxy("web:9", "/")).await.body;
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("connection refused"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_service_leads_to_one_of_its_ready_pods_by_number_or_name_of_its_port() {
    let world = World::start().await;
    world.pod("web", "10.42.0.5").await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "dead", "port": 81}]},
    });
    assert_eq!(world.api.post(SERVICES, &service).await.code, 201);
    let address = |pod: &str, ip: &str| json!({"ip": ip, "targetRef": {"kind": "Pod", "namespace": "default", "name": pod}});
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "s"},
        "subsets": [
            // Whoever may write this could otherwise reach anything from here.
            {"addresses": [{"ip": "10.0.0.77"}, address("web", "10.0.0.78")], "ports": [{"name": "http", "port": 1}]},
            {"addresses": [address("web", "10.42.0.5")], "ports": [{"name": "http", "port": 8080}, {"name": "dead", "port": 9}]},
        ],
    });
    let made = world.api.post(ENDPOINTS, &endpoints).await;
    assert_eq!(made.code, 201, "{}", made.body);
    for name in ["s:http", "s:80", "http:s:http"] {
        for _ in 0..5 {
            let answer = world.get(&format!("{SERVICES}/{name}/proxy/x")).await;
            assert_eq!(told(&answer).1, "/x", "{name}: {}", answer.body);
        }
    }
    for (name, message) in [
        ("s", "no endpoints available for service \"s\""),
        ("s:none", "no endpoints available for service \"s:none\""),
        ("s:82", "no service port 82 found for service \"s\""),
        ("s:81", "error trying to reach service: "),
    ] {
        let answer = world.get(&format!("{SERVICES}/{name}/proxy/")).await;
        assert_eq!(answer.code, 503, "{name}");
        let said = answer.body["message"].as_str().unwrap();
        assert!(said.starts_with(message), "{name}: {said}");
    }
}

#[tokio::test]
async fn a_node_is_its_agent_or_any_other_port_of_it() {
    let mut world = World::start().await;
    let answer = world.get("/api/v1/nodes/n1/proxy/pods?x=y").await;
    assert_eq!(told(&answer), ("GET".to_owned(), "/pods?x=y".to_owned()));
    let answer = world
        .get(&format!("/api/v1/nodes/https:n1:{}/proxy/pods", world.port))
        .await;
    assert_eq!(told(&answer).1, "/pods");
    // Another port of the node's own loopback address is none that a proxy may reach.
    let answer = world.get("/api/v1/nodes/n1:22/proxy/").await;
    assert_eq!(
        (answer.code, &answer.body["message"]),
        (400, &json!("address not allowed"))
    );
    world.tasks.shutdown().await;
    let answer = world.get("/api/v1/nodes/n1/proxy/pods").await;
    assert_eq!(answer.code, 503);
}

#[tokio::test]
async fn a_pod_that_speaks_tls_is_asked_by_https_whatever_its_certificate() {
    let world = World::start().await;
    world.pod("web", "10.42.0.5").await;
    let answer = world.get(&proxy(&format!("https:web:{SECURED}"), "/x?a=b")).await;
    assert_eq!(answer.code, 200, "{}", answer.body);
    assert_eq!(told(&answer).1, "/x?a=b");
    // Neither side takes what the other speaks.
    assert_eq!(
        world.get(&proxy(&format!("http:web:{SECURED}"), "/x")).await.code,
        503
    );
    assert_eq!(world.get(&proxy("https:web:8080", "/x")).await.code, 503);
}

#[tokio::test]
async fn requests_over_http_2_are_handed_on_over_http_1() {
    let world = World::start().await;
    world.pod("web", "10.42.0.5").await;
    let (near, far) = duplex(64 * 1024);
    let service = world.api.service.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let service = service_fn(move |request| service.clone().call(request));
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        drop(http.serve_connection(TokioIo::new(far), service).await);
    });
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(near))
            .await
            .unwrap();
    tasks.spawn(async move { drop(connection.await) });
    let uri = format!("https://api:6443{}", proxy("web", "/x?a=b"));
    let request = Request::post(uri).body(http_body_util::Full::new(Bytes::from_static(b"body")));
    let response = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let said: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&said["method"], &said["uri"], &said["body"]),
        (&json!("POST"), &json!("/x?a=b"), &json!("body"))
    );
    assert_eq!(said["headers"]["host"], "api:6443");
    assert_eq!(said["headers"]["x-forwarded-uri"], proxy("web", "/x"));
}

#[tokio::test]
async fn an_upgrade_is_handed_through() {
    let world = World::start().await;
    world.pod("web", "10.42.0.5").await;
    let mut tasks = JoinSet::new();
    let near = world.connection(&mut tasks);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near))
        .await
        .unwrap();
    tasks.spawn(async move { drop(connection.with_upgrades().await) });
    let request = Request::get(proxy("web", "/upgrade"))
        .header(HOST, "api")
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "echo")
        .body(http_body_util::Empty::<Bytes>::new());
    let response = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()[UPGRADE], "echo");
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    io.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    io.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
}

#[tokio::test]
async fn running_something_through_a_node_needs_create_whatever_the_method() {
    let world = World::start().await;
    let nobody = world.api.as_user("eve", "nobody");
    for (path, verb) in [
        ("/pods", "get"),
        ("/containerLogs/a/b/c", "get"),
        ("/exec/a/b/c?command=sh", "create"),
        ("/pods/../exec/a/b/c", "create"),
        ("//%65xec/a/b/c", "create"),
        ("/portForward/a/b", "create"),
    ] {
        let answer = nobody.get(&format!("/api/v1/nodes/n1/proxy{path}")).await;
        assert_eq!(answer.code, 403, "{path}");
        let said = answer.body["message"].as_str().unwrap();
        assert!(
            said.contains(&format!("cannot {verb} resource \"nodes/proxy\"")),
            "{path}: {said}"
        );
    }
}

/// What a WebSocket with the subprotocol `wanted` says of a pod's log, and the subprotocol it got.
async fn log_by_socket(world: &World, wanted: Option<&str>) -> (Option<String>, Vec<Message>) {
    let mut request = "ws://10.0.0.1/api/v1/namespaces/default/pods/web/log?container=c&tailLines=5"
        .into_client_request()
        .unwrap();
    if let Some(wanted) = wanted {
        request
            .headers_mut()
            .insert("sec-websocket-protocol", wanted.parse().unwrap());
    }
    let mut tasks = JoinSet::new();
    let connection = world.connection(&mut tasks);
    let (mut socket, answer) = tokio_tungstenite::client_async(request, connection)
        .await
        .unwrap();
    let mut said = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        said.push(message);
    }
    let protocol = answer.headers().get("sec-websocket-protocol");
    (protocol.map(|name| name.to_str().unwrap().to_owned()), said)
}

#[tokio::test]
async fn logs_are_read_over_websocket_in_bytes_or_in_base64() {
    let world = World::start().await;
    world.pod("web", "10.42.0.5").await;
    let text = "/containerLogs/default/web/c?tailLines=5";
    for wanted in [None, Some("binary.k8s.io"), Some("base64.binary.k8s.io")] {
        let (got, said) = log_by_socket(&world, wanted).await;
        assert_eq!(got.as_deref(), wanted);
        assert!(matches!(said.last(), Some(Message::Close(_))), "{said:?}");
        assert!(said.first().is_some_and(Message::is_empty), "{said:?}");
        let pieces = said.iter().filter_map(|message| match message {
            Message::Binary(bytes) => Some(bytes.to_vec()),
            Message::Text(text) => Some(BASE64_STANDARD.decode(text.as_str()).unwrap()),
            _ => None,
        });
        let log: Vec<u8> = pieces.flatten().collect();
        let log: Value = serde_json::from_slice(&log).unwrap();
        assert_eq!(log["uri"], text);
        let is_text = said.first().is_some_and(Message::is_text);
        assert_eq!(is_text, wanted == Some("base64.binary.k8s.io"));
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_had_is_refused_before_the_socket_opens() {
    let world = World::start().await;
    world.pod("web", "10.42.0.5").await;
    let handshake = [
        (CONNECTION, "Upgrade"),
        (UPGRADE, "websocket"),
        (http::header::SEC_WEBSOCKET_VERSION, "13"),
        (http::header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let path = format!("{PODS}/web/log?container=none");
    let answer = world.api.send("GET", &path, &handshake, Vec::new()).await;
    assert_eq!(answer.code, 400, "{}", answer.body);
}
