//! Port-forward.

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::client::Endpoint;
use super::spdy_client::SpdyClient;
use agent_streams::spdy::{Frame, Headers};

const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

async fn tunnel(endpoint: &Endpoint) -> SpdyClient {
    let socket = endpoint.open("/portForward/default/web", TUNNEL).await.unwrap();
    SpdyClient::new(socket)
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A server that sends everything back, and ends when its client does.
async fn echo(endpoint: &mut Endpoint) -> u16 {
    let (listener, port) = listener().await;
    endpoint.tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
        }
    });
    port
}

#[tokio::test]
async fn a_megabyte_makes_the_round_trip() {
    let mut endpoint = Endpoint::start().await;
    let port = echo(&mut endpoint).await;
    let mut client = tunnel(&endpoint).await;
    let (error, data) = client.connect(port, "0").await;
    let sent: Vec<u8> = (0..1_000_000_u32)
        .map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1])
        .collect();
    for piece in sent.chunks(20_000) {
        client.data(data, piece, false).await;
    }
    client.data(data, b"", true).await;
    let (failure, received) = client.finish(error, data).await;
    assert!(received.data == sent, "{} bytes came back", received.data.len());
    assert!(
        failure.data.is_empty(),
        "{:?}",
        String::from_utf8_lossy(&failure.data)
    );
    assert_eq!(client.returned, sent.len());
}

#[tokio::test]
async fn one_tunnel_carries_connection_after_connection() {
    let mut endpoint = Endpoint::start().await;
    let port = echo(&mut endpoint).await;
    let mut client = tunnel(&endpoint).await;
    for request in ["0", "1", "2"] {
        let (error, data) = client.connect(port, request).await;
        client.data(data, request.as_bytes(), true).await;
        let (_, received) = client.finish(error, data).await;
        assert_eq!(received.data, request.as_bytes());
    }
}

#[tokio::test]
async fn the_end_of_either_direction_leaves_the_other_open() {
    let mut endpoint = Endpoint::start().await;
    let (listener, port) = listener().await;
    endpoint.tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = String::new();
        stream.read_to_string(&mut request).await.unwrap();
        stream
            .write_all(format!("{request} heard").as_bytes())
            .await
            .unwrap();
    });
    let mut client = tunnel(&endpoint).await;
    let (error, data) = client.connect(port, "0").await;
    client.data(data, b"all", true).await;
    let (_, received) = client.finish(error, data).await;
    assert_eq!(received.data, b"all heard");
}

/// kubectl 1.20 holds its side open until the error stream has ended.
#[tokio::test]
async fn a_connection_that_the_pod_ends_is_over_though_the_client_says_nothing() {
    let mut endpoint = Endpoint::start().await;
    let (listener, port) = listener().await;
    endpoint.tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"all").await.unwrap();
    });
    let mut client = tunnel(&endpoint).await;
    let (error, data) = client.connect(port, "0").await;
    let (_, received) = client.finish(error, data).await;
    assert_eq!(received.data, b"all");
}

#[tokio::test]
async fn a_port_nobody_listens_on_is_told_on_the_error_stream() {
    let endpoint = Endpoint::start().await;
    let (listener, port) = listener().await;
    drop(listener);
    let mut client = tunnel(&endpoint).await;
    let (error, data) = client.connect(port, "0").await;
    let (failure, received) = client.finish(error, data).await;
    let message = String::from_utf8(failure.data).unwrap();
    assert!(
        message.starts_with(&format!("error forwarding port {port}")),
        "{message}"
    );
    assert!(message.contains("refused"), "{message}");
    assert!(received.data.is_empty());
}

#[tokio::test]
async fn a_reset_ends_the_connection_in_the_pod_and_the_error_stream() {
    let mut endpoint = Endpoint::start().await;
    let (listener, port) = listener().await;
    let (ended, gone) = tokio::sync::oneshot::channel();
    endpoint.tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(stream.read(&mut [0; 1]).await);
        ended.send(()).unwrap();
    });
    let mut client = tunnel(&endpoint).await;
    let (error, stream) = client.connect(port, "0").await;
    client.send(Frame::RstStream { stream, reason: 5 }).await;
    gone.await.unwrap();
    let fin = client.next().await.unwrap();
    assert!(
        matches!(fin, Frame::Data { stream, fin: true, .. } if stream == error),
        "{fin:?}"
    );
}

#[tokio::test]
async fn a_client_that_vanishes_ends_its_connections() {
    let mut endpoint = Endpoint::start().await;
    let (listener, port) = listener().await;
    let (ended, gone) = tokio::sync::oneshot::channel();
    endpoint.tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        drop(stream.read(&mut [0; 1]).await);
        ended.send(()).unwrap();
    });
    let mut client = tunnel(&endpoint).await;
    client.connect(port, "0").await;
    assert!(matches!(client.next().await, Some(Frame::Data { .. })));
    drop(client);
    gone.await.unwrap();
}

#[tokio::test]
async fn pings_are_sent_back_and_streams_that_make_no_sense_refused() {
    let endpoint = Endpoint::start().await;
    let mut client = tunnel(&endpoint).await;
    client.send(Frame::Other(4)).await;
    client.send(Frame::Ping(7)).await;
    assert_eq!(client.next().await, Some(Frame::Ping(7)));
    let refused = client.open("data", 0, "0").await.unwrap_err();
    assert_eq!(refused, Frame::RstStream { stream: 1, reason: 3 });
    client.open("error", 80, "0").await.unwrap();
    let taken = client.open("error", 80, "0").await.unwrap_err();
    assert_eq!(taken, Frame::RstStream { stream: 5, reason: 3 });
    let (stream, fin, headers) = (3, false, Headers::default());
    client.send(Frame::SynStream { stream, fin, headers }).await;
    let used = client.next().await;
    assert_eq!(used, Some(Frame::RstStream { stream: 3, reason: 1 }));
}

#[tokio::test]
async fn what_is_no_spdy_ends_the_tunnel_with_a_goaway() {
    let endpoint = Endpoint::start().await;
    let mut client = tunnel(&endpoint).await;
    client.open("error", 80, "0").await.unwrap();
    client.data(2, &vec![0; 2 * 1024 * 1024], false).await;
    assert_eq!(client.next().await, Some(Frame::GoAway { last: 1, status: 1 }));
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_pod_that_is_not_here_is_404() {
    let endpoint = Endpoint::start().await;
    let refused = endpoint.open("/portForward/default/gone", TUNNEL).await;
    assert_eq!(refused.unwrap_err().0, StatusCode::NOT_FOUND);
}
