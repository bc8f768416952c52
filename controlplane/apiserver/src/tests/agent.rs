//! A node's agent in a few lines: it forwards every port of every pod to a server that [`answer`]s, and is that server.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::Response;
use controlplane_pki::{CertificateAuthority, Request as Csr};
use futures::{SinkExt, StreamExt};
use http::header::{CONNECTION, LOCATION, UPGRADE};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::task::TaskTracker;

use crate::{Clock, ServingCertificate, SystemClock, server_config};

/// The port behind which pods speak TLS.
pub(super) const SECURED: u16 = 8443;

/// TLS by an authority that nobody knows, for a name that nobody asks for.
fn stranger() -> TlsAcceptor {
    let (folder, now) = (tempfile::tempdir().unwrap(), SystemClock.now());
    let authority = CertificateAuthority::load_or_create(folder.path(), "stranger", now).unwrap();
    let request = Csr::server("stranger", vec!["stranger.example".to_owned()], Vec::new());
    let issued = authority.issue(&request, now).unwrap();
    let certificate = ServingCertificate::new(&issued.certificate_pem, &issued.key_pem).unwrap();
    TlsAcceptor::from(server_config(authority.certificate_pem(), &certificate).unwrap())
}

/// Serves connections until it is dropped.
pub(super) async fn agent(listener: TcpListener, tls: TlsAcceptor) {
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let tls = tls.clone();
        connections.spawn(async move {
            if let Ok(stream) = tls.accept(tcp).await {
                serve(stream).await;
            }
        });
    }
}

/// Speaks HTTP/1.1 over a stream; `/portForward` leads to itself once more.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
    let http = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    drop(http.with_upgrades().await);
}

async fn answer(request: Request<Incoming>) -> Response {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        path if path.starts_with("/portForward/") => forward(request),
        path if path.starts_with("/exec/") => exec(request),
        "/page" => page(b"<a href=\"/x\">y</a>".to_vec(), None),
        "/packed" => {
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            let text = "<a href=\"/x\">y</a> ".repeat(10_000);
            std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
            page(packed.finish().unwrap(), Some("gzip"))
        }
        "/moved" => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::FOUND;
            response
                .headers_mut()
                .insert(LOCATION, HeaderValue::from_static("/there?a=b"));
            response
        }
        "/upgrade" => upgrade(request),
        _ => echo(request).await,
    }
}

fn page(bytes: Vec<u8>, encoding: Option<&'static str>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(
        "content-type",
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert("access-control-allow-origin", HeaderValue::from_static("*"));
    if let Some(encoding) = encoding {
        headers.insert("content-encoding", HeaderValue::from_static(encoding));
    }
    response
}

async fn echo(request: Request<Incoming>) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let headers: serde_json::Map<String, Value> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
        .collect();
    let said = json!({
        "method": parts.method.as_str(), "uri": parts.uri.to_string(), "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    Response::new(Body::from(said.to_string()))
}

/// Sends everything back, once the protocol is another.
fn upgrade(mut request: Request<Incoming>) -> Response {
    let io = hyper::upgrade::on(&mut request);
    TaskTracker::new().spawn(async move {
        let (mut from, mut to) = tokio::io::split(TokioIo::new(io.await.unwrap()));
        drop(tokio::io::copy(&mut from, &mut to).await);
    });
    switching(&[(UPGRADE, "echo")])
}

fn switching(headers: &[(http::HeaderName, &str)]) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_str(value).unwrap());
    }
    response
}

/// Says what it was asked, then what it is told, then that all went well.
fn exec(mut request: Request<Incoming>) -> Response {
    let headers = request.headers();
    let accept = derive_accept_key(headers["sec-websocket-key"].as_bytes());
    let protocol = headers["sec-websocket-protocol"].to_str().unwrap().to_owned();
    let asked = request.uri().to_string();
    let io = hyper::upgrade::on(&mut request);
    TaskTracker::new().spawn(async move {
        let io = TokioIo::new(io.await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        let message = |channel: u8, bytes: &[u8]| Message::Binary([&[channel], bytes].concat().into());
        socket.send(message(1, asked.as_bytes())).await.unwrap();
        let typed = socket.next().await.unwrap().unwrap().into_data();
        socket.send(message(1, &typed[1..])).await.unwrap();
        socket
            .send(message(3, b"{\"status\":\"Success\"}"))
            .await
            .unwrap();
        drop(socket.close(None).await);
    });
    switching(&[
        (UPGRADE, "websocket"),
        (http::header::SEC_WEBSOCKET_ACCEPT, &accept),
        (http::header::SEC_WEBSOCKET_PROTOCOL, &protocol),
    ])
}

/// The kubelet's port-forward by channels, to a server like this one within.
fn forward(mut request: Request<Incoming>) -> Response {
    let headers = request.headers();
    assert_eq!(headers["sec-websocket-protocol"], "v4.channel.k8s.io");
    let accept = derive_accept_key(headers["sec-websocket-key"].as_bytes());
    let port: u16 = request
        .uri()
        .query()
        .unwrap()
        .strip_prefix("port=")
        .unwrap()
        .parse()
        .unwrap();
    let io = hyper::upgrade::on(&mut request);
    TaskTracker::new().spawn(async move {
        let io = TokioIo::new(io.await.unwrap());
        bridge(
            WebSocketStream::from_raw_socket(io, Role::Server, None).await,
            port,
        )
        .await;
    });
    switching(&[
        (UPGRADE, "websocket"),
        (http::header::SEC_WEBSOCKET_ACCEPT, &accept),
        (http::header::SEC_WEBSOCKET_PROTOCOL, "v4.channel.k8s.io"),
    ])
}

async fn bridge(mut socket: WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>, port: u16) {
    let message = |channel: u8, bytes: &[u8]| Message::Binary([&[channel], bytes].concat().into());
    for channel in [0, 1] {
        socket.send(message(channel, &port.to_le_bytes())).await.unwrap();
    }
    // Port 9 is the one that nobody listens on.
    if port == 9 {
        let said = message(1, b"error forwarding port 9 to pod: connection refused");
        socket.send(said).await.unwrap();
        drop(socket.close(None).await);
        return;
    }
    let (near, far) = duplex(4096);
    let served: futures::future::BoxFuture<'static, ()> = match port {
        SECURED => Box::pin(async move { serve(stranger().accept(far).await.unwrap()).await }),
        _ => Box::pin(serve(far)),
    };
    let inner = TaskTracker::new().spawn(served);
    let (mut from, mut to) = tokio::io::split(near);
    let (mut sink, mut messages) = socket.split();
    let down = async {
        let mut piece = vec![0; 1000];
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            sink.send(message(0, &piece[..count])).await.unwrap();
        }
        drop(sink.close().await);
    };
    let up = async {
        while let Some(Ok(message)) = messages.next().await {
            if let Message::Binary(bytes) = message {
                to.write_all(&bytes[1..]).await.unwrap();
            }
        }
    };
    tokio::select! { () = down => {}, () = up => {} }
    inner.abort();
}
