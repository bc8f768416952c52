//! Over real sockets: TLS, identities, and streams to a node's agent.

use std::net::IpAddr;

use controlplane_pki::{CertificateAuthority, Request as CertificateRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{Limits, NodeClient, ServingCertificate, server_config};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A cluster's authority in a folder of its own.
struct Pki {
    authority: CertificateAuthority,
    _dir: tempfile::TempDir,
}

impl Pki {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority =
            CertificateAuthority::load_or_create(dir.path(), "test", jiff::Timestamp::now()).unwrap();
        Self { authority, _dir: dir }
    }

    fn serving(&self) -> ServingCertificate {
        let request = CertificateRequest::server("server", Vec::new(), vec![HERE]);
        let issued = self.authority.issue(&request, jiff::Timestamp::now()).unwrap();
        ServingCertificate::new(&issued.certificate_pem, &issued.key_pem).unwrap()
    }

    fn server(&self) -> Arc<rustls::ServerConfig> {
        server_config(self.authority.certificate_pem(), &self.serving()).unwrap()
    }

    /// A client that trusts this authority and shows a certificate of `issuer`.
    fn client(&self, issuer: &Self, name: &str, group: &str) -> NodeClient {
        let request = CertificateRequest::client(name, Some(group));
        let issued = issuer.authority.issue(&request, jiff::Timestamp::now()).unwrap();
        NodeClient::new(
            self.authority.certificate_pem(),
            &issued.certificate_pem,
            &issued.key_pem,
        )
        .unwrap()
    }
}

/// A server on a free port.
struct Served {
    api: Api,
    port: u16,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

async fn serve(pki: &Pki) -> Served {
    let mut api = Api::start().await;
    let nodes = Some(pki.client(pki, "kube-apiserver-kubelet-client", "system:masters"));
    let inner = &api.server.0;
    api.server = ApiServer::new(Parts {
        registry: inner.registry.clone(),
        store: inner.store.clone(),
        archive: None,
        trouble: Trouble::default(),
        schemas: inner.schemas,
        clock: Arc::clone(&inner.clock),
        pods: inner.pods,
        service_cidr: inner.service_cidr,
        cluster_dns: inner.cluster_dns,
        nodes,
        accounts: inner.accounts.clone(),
        metrics: crate::Metrics::default(),
    });
    api.service = api.server.in_process(user("admin", "system:masters"));
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let (server, tls, stopped) = (api.server.clone(), pki.server(), stop.clone());
    tasks.spawn(async move { server.serve(listener, tls, Limits::default(), stopped).await });
    Served {
        api,
        port,
        stop,
        tasks,
    }
}

/// Sends raw bytes and reads until `enough` of the answer is there.
async fn exchange(client: &NodeClient, port: u16, request: &str, enough: &str) -> std::io::Result<String> {
    let failed = |error: crate::NodeClientError| std::io::Error::other(error);
    let mut stream = client.connect(HERE, port).await.map_err(failed)?;
    stream.write_all(request.as_bytes()).await?;
    until(&mut stream, enough).await
}

/// Reads until `enough` is there, or to the end.
async fn until(stream: &mut (impl AsyncReadExt + Unpin), enough: &str) -> std::io::Result<String> {
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(enough) {
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await? {
            0 => break,
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_client_certificate_of_the_cluster_says_who_asks() {
    let pki = Pki::new();
    let served = serve(&pki).await;
    let admin = pki.client(&pki, "admin", "system:masters");
    let answer = exchange(&admin, served.port, &get("/api/v1/pods"), "PodList")
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let node = pki.client(&pki, "system:node:n1", "system:nodes");
    let answer = exchange(&node, served.port, &get("/api/v1/pods"), "forbidden")
        .await
        .unwrap();
    assert!(
        answer.contains("system:node:n1") && answer.starts_with("HTTP/1.1 403"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_certificate_of_another_authority_opens_nothing() {
    let (pki, other) = (Pki::new(), Pki::new());
    let served = serve(&pki).await;
    let stranger = pki.client(&other, "admin", "system:masters");
    let answer = exchange(&stranger, served.port, &get("/api/v1/pods"), "PodList").await;
    assert!(answer.map_or(true, |text| text.is_empty()));
}

#[tokio::test]
async fn a_certificate_is_replaced_while_the_server_runs() {
    let (pki, other) = (Pki::new(), Pki::new());
    let serving = pki.serving();
    let tls = server_config(pki.authority.certificate_pem(), &serving).unwrap();
    let api = Api::start().await;
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        api.server
            .serve(listener, tls, Limits::default(), CancellationToken::new())
            .await
    });
    let client = pki.client(&pki, "admin", "system:masters");
    let sees_other = other.client(&pki, "admin", "system:masters");
    assert!(client.connect(HERE, port).await.is_ok() && sees_other.connect(HERE, port).await.is_err());
    let request = CertificateRequest::server("server", Vec::new(), vec![HERE]);
    let issued = other.authority.issue(&request, jiff::Timestamp::now()).unwrap();
    serving.replace(&issued.certificate_pem, &issued.key_pem).unwrap();
    assert!(client.connect(HERE, port).await.is_err() && sees_other.connect(HERE, port).await.is_ok());
}

#[tokio::test]
async fn stopping_ends_watches_and_returns() {
    let pki = Pki::new();
    let mut served = serve(&pki).await;
    let admin = pki.client(&pki, "admin", "system:masters");
    let mut stream = admin.connect(HERE, served.port).await.unwrap();
    let path = get("/api/v1/namespaces?watch=true");
    stream.write_all(path.as_bytes()).await.unwrap();
    let begun = until(&mut stream, "kube-system").await.unwrap();
    assert!(begun.contains("kube-system"), "{begun}");
    served.stop.cancel();
    until(&mut stream, "never").await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), served.tasks.join_next())
        .await
        .unwrap();
}

/// What informers do: many watches and requests share one connection.
#[tokio::test]
async fn watches_and_requests_share_one_http_2_connection() {
    let pki = Pki::new();
    let served = serve(&pki).await;
    let admin = pki.client(&pki, "admin", "system:masters");
    let stream = hyper_util::rt::TokioIo::new(admin.connect(HERE, served.port).await.unwrap());
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, stream)
        .await
        .unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let mut ask = async |path: &str| {
        let request = Request::get(format!("https://x{path}"))
            .body(Body::empty())
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.version()),
            (200, http::Version::HTTP_2)
        );
        Body::new(response.into_body())
    };
    let mut watches = Vec::new();
    for _ in 0..20 {
        let body = ask(&format!("{CONFIG_MAPS}?watch=true")).await;
        let buffer = Vec::new();
        watches.push(Events { body, buffer });
    }
    served.api.post(CONFIG_MAPS, &config_map("a")).await;
    let list = ask(CONFIG_MAPS).await.collect().await.unwrap().to_bytes();
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(list["items"][0]["metadata"]["name"], "a");
    for events in &mut watches {
        assert_eq!(events.words().await, "ADDED a");
    }
    served.stop.cancel();
    for events in &mut watches {
        assert_eq!(
            events.next().await,
            None,
            "a watch ends with its stream, not with an error"
        );
    }
}

/// Asks for a WebSocket and reads `count` messages: whether each is text, and what it says.
async fn messages(
    client: &NodeClient,
    port: u16,
    path: &str,
    accept: &str,
    count: usize,
) -> Vec<(bool, Vec<u8>)> {
    let mut stream = client.connect(HERE, port).await.unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    // The answer to the key of RFC 6455, section 1.3.
    assert!(head.contains("s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    let mut found = Vec::new();
    while found.len() < count {
        let (kind, length) = (stream.read_u8().await.unwrap(), stream.read_u8().await.unwrap());
        let length = match length {
            126 => usize::from(stream.read_u16().await.unwrap()),
            127 => usize::try_from(stream.read_u64().await.unwrap()).unwrap(),
            short => usize::from(short),
        };
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await.unwrap();
        assert!(matches!(kind, 0x81 | 0x82), "{kind:x}");
        found.push((kind == 0x81, message));
    }
    found
}

#[tokio::test]
async fn a_watch_over_websocket_sends_a_message_for_each_event() {
    let pki = Pki::new();
    let served = serve(&pki).await;
    for name in ["a", "b"] {
        served.api.post(CONFIG_MAPS, &config_map(name)).await;
    }
    let admin = pki.client(&pki, "admin", "system:masters");
    let path = format!("{CONFIG_MAPS}?watch=true&labelSelector=app");
    for (is_text, message) in messages(&admin, served.port, &path, "application/json", 2).await {
        let event: Value = serde_json::from_slice(&message).unwrap();
        assert_eq!((is_text, &event["type"]), (true, &json!("ADDED")));
    }
    let protobuf = controlplane_protobuf::MEDIA_TYPE;
    for (is_text, message) in messages(&admin, served.port, &path, protobuf, 2).await {
        assert!(!is_text && message.starts_with(b"\x0a\x05ADDED"), "{message:?}");
    }
    let unversioned = get(&path).replace("Connection: close", "Connection: Upgrade\r\nUpgrade: websocket");
    let answer = exchange(&admin, served.port, &unversioned, "BadRequest")
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

/// An agent that reads one request, answers with `answer`, and then echoes; returns what it was asked.
async fn agent(pki: &Pki, served: &Served, answer: &'static str) -> JoinSet<String> {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    bound_pod(&served.api, "p").await;
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
    });
    assert_eq!(served.api.post("/api/v1/nodes", &node).await.code, 201);
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }});
    let patched = served
        .api
        .patch("/api/v1/nodes/n1/status", "merge-patch+json", &status)
        .await;
    assert_eq!(patched.code, 200, "{}", patched.body);
    let acceptor = TlsAcceptor::from(pki.server());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(tcp).await.unwrap();
        let mut asked = vec![0; 4096];
        let count = stream.read(&mut asked).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut piece).await {
            stream.write_all(&piece[..count]).await.unwrap();
        }
        String::from_utf8_lossy(&asked[..count]).into_owned()
    });
    tasks
}

#[tokio::test]
async fn an_exec_is_tunnelled_to_the_pods_node_in_its_words() {
    let pki = Pki::new();
    let served = serve(&pki).await;
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n";
    let mut agent = agent(&pki, &served, switching).await;
    let admin = pki.client(&pki, "admin", "system:masters");
    let mut stream = admin.connect(HERE, served.port).await.unwrap();
    let path = format!("{PODS}/p/exec?command=ls&stdin=true&stdout=true&container=c");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = vec![0; 4096];
    let count = stream.read(&mut head).await.unwrap();
    let head = String::from_utf8_lossy(&head[..count]).to_lowercase();
    assert!(
        head.starts_with("http/1.1 101") && head.contains("v5.channel.k8s.io"),
        "{head}"
    );
    stream.write_all(b"both ways").await.unwrap();
    let mut echoed = [0; 9];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"both ways");
    stream.shutdown().await.unwrap();
    drop(stream);
    let asked = agent.join_next().await.unwrap().unwrap();
    assert!(
        asked.starts_with("GET /exec/default/p/c?command=ls&input=1&output=1 HTTP/1.1"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_spdy_exec_is_told_why_the_node_cannot_be_reached() {
    let pki = Pki::new();
    let served = serve(&pki).await;
    agent(&pki, &served, "").await.shutdown().await;
    let answer = served
        .api
        .post(&format!("{PODS}/p/exec?command=ls"), &json!({}))
        .await;
    assert_eq!(answer.code, 503);
    assert!(
        answer.body["message"]
            .as_str()
            .unwrap()
            .starts_with("error dialing node n1"),
        "{}",
        answer.body
    );
}

#[tokio::test]
async fn logs_are_passed_through() {
    let pki = Pki::new();
    let served = serve(&pki).await;
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n";
    let _agent = agent(&pki, &served, answer).await;
    let admin = pki.client(&pki, "admin", "system:masters");
    let path = get(&format!("{PODS}/p/log?tailLines=1"));
    let answer = exchange(&admin, served.port, &path, "hello").await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_redirect_by_an_agent_is_not_followed() {
    let pki = Pki::new();
    let served = serve(&pki).await;
    let answer = "HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let _agent = agent(&pki, &served, answer).await;
    let admin = pki.client(&pki, "admin", "system:masters");
    let answer = exchange(&admin, served.port, &get(&format!("{PODS}/p/log")), "redirect")
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}

#[tokio::test]
async fn an_agent_with_a_certificate_of_another_authority_is_not_spoken_to() {
    let (pki, other) = (Pki::new(), Pki::new());
    let served = serve(&pki).await;
    let _agent = agent(&other, &served, "HTTP/1.1 200 OK\r\n\r\n").await;
    let answer = served.api.get(&format!("{PODS}/p/log")).await;
    assert_eq!(answer.code, 503);
}
