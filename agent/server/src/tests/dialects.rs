//! Exec and attach with every subprotocol of a WebSocket, and port-forward by channels.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::client::{Endpoint, WebSocket};

/// What came on each channel until the end.
async fn heard(mut socket: WebSocket, base64: bool) -> Vec<Vec<u8>> {
    let mut channels = vec![Vec::new(); 4];
    while let Some(Ok(message)) = socket.next().await {
        let (channel, bytes) = match message {
            Message::Binary(bytes) if !base64 => (bytes[0], bytes[1..].to_vec()),
            Message::Text(text) if base64 => {
                let bytes = text.as_bytes();
                (bytes[0] - b'0', BASE64_STANDARD.decode(&bytes[1..]).unwrap())
            }
            Message::Close(_) | Message::Pong(_) => continue,
            other => panic!("{other:?}"),
        };
        channels[usize::from(channel)].extend(bytes);
    }
    channels
}

#[tokio::test]
async fn every_subprotocol_has_its_messages_and_its_way_to_tell_a_failure() {
    let endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=exit&command=7&output=1&error=1";
    let cases = [
        ("v5.channel.k8s.io", false, true),
        ("v4.channel.k8s.io", false, true),
        ("v4.base64.channel.k8s.io", true, true),
        ("v3.channel.k8s.io", false, false),
        ("v2.channel.k8s.io", false, false),
        ("channel.k8s.io", false, false),
        ("base64.channel.k8s.io", true, false),
        ("", false, false),
    ];
    for (protocol, base64, as_status) in cases {
        let channels = heard(endpoint.open(path, protocol).await.unwrap(), base64).await;
        assert_eq!(
            (&*channels[1], &*channels[2]),
            (&b"out"[..], &b"err"[..]),
            "{protocol}"
        );
        let told = String::from_utf8(channels[3].clone()).unwrap();
        let text = "command terminated with non-zero exit code: 7";
        if as_status {
            let status: serde_json::Value = serde_json::from_str(&told).unwrap();
            assert_eq!(status["message"], text, "{protocol}");
        } else {
            assert_eq!(told, text, "{protocol}");
        }
    }
}

#[tokio::test]
async fn success_is_told_by_a_status_or_by_silence() {
    let endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=exit&command=0&output=1";
    for (protocol, told) in [
        ("v4.channel.k8s.io", r#"{"metadata":{},"status":"Success"}"#),
        ("channel.k8s.io", ""),
    ] {
        let channels = heard(endpoint.open(path, protocol).await.unwrap(), false).await;
        let said: Option<serde_json::Value> = serde_json::from_slice(&channels[3]).ok();
        let wanted: Option<serde_json::Value> = serde_json::from_str(told).ok();
        assert_eq!(
            said.map(|status| status["status"].clone()),
            wanted.map(|status| status["status"].clone()),
            "{protocol}"
        );
    }
}

#[tokio::test]
async fn the_first_protocol_of_the_client_that_is_known_is_taken() {
    let endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=exit&command=7&output=1";
    let offered = "v9.channel.k8s.io, base64.channel.k8s.io, v5.channel.k8s.io";
    let channels = heard(endpoint.open(path, offered).await.unwrap(), true).await;
    assert_eq!(channels[1], b"out");
    let (status, _) = endpoint.open(path, "v9.channel.k8s.io").await.unwrap_err();
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn stdin_in_base64_reaches_the_process() {
    let endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=cat&input=1&output=1";
    let mut socket = endpoint.open(path, "base64.channel.k8s.io").await.unwrap();
    let input = format!("0{}", BASE64_STANDARD.encode("through"));
    socket.send(Message::text(input)).await.unwrap();
    let mut seen = String::new();
    while !seen.contains("through") {
        let message = socket.next().await.unwrap().unwrap();
        let text = message.into_text().unwrap();
        if let Some(text) = text.strip_prefix('1') {
            seen.push_str(std::str::from_utf8(&BASE64_STANDARD.decode(text).unwrap()).unwrap());
        }
    }
}

/// Sends everything back, and ends when its client does.
async fn echo(endpoint: &mut Endpoint) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    endpoint.tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
    });
    port
}

#[tokio::test]
async fn ports_are_forwarded_by_pairs_of_channels() {
    let mut endpoint = Endpoint::start().await;
    let ports = [echo(&mut endpoint).await, echo(&mut endpoint).await];
    let path = format!("/portForward/default/web?port={},{}", ports[0], ports[1]);
    let mut socket = endpoint.open(&path, "v4.channel.k8s.io").await.unwrap();
    for (channel, text) in [(0, "first"), (2, "other")] {
        let mut message = vec![channel];
        message.extend(text.bytes());
        socket.send(Message::Binary(message.into())).await.unwrap();
    }
    // Nobody listens on these channels.
    for message in [&b"\x01x"[..], b"\x09x", b""] {
        let message = Bytes::copy_from_slice(message);
        socket.send(Message::Binary(message)).await.unwrap();
    }
    let said = heard(socket, false).await;
    let begin = |port: u16| port.to_le_bytes().to_vec();
    let wanted = [
        [begin(ports[0]), b"first".to_vec()].concat(),
        begin(ports[0]),
        [begin(ports[1]), b"other".to_vec()].concat(),
        begin(ports[1]),
    ];
    assert_eq!(said, wanted);
}

#[tokio::test]
async fn a_port_nobody_listens_on_is_told_on_its_error_channel() {
    let endpoint = Endpoint::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let path = format!("/portForward/default/web?port={port}");
    let socket = endpoint.open(&path, "v4.base64.channel.k8s.io").await.unwrap();
    let said = heard(socket, true).await;
    let message = String::from_utf8_lossy(&said[1][2..]).into_owned();
    assert!(
        message.starts_with(&format!("error forwarding port {port}")),
        "{message}"
    );
    assert_eq!(said[0].len(), 2);
}

#[tokio::test]
async fn channels_without_ports_are_refused() {
    let endpoint = Endpoint::start().await;
    let refused = endpoint
        .open("/portForward/default/web", "v4.channel.k8s.io")
        .await;
    let (status, text) = refused.unwrap_err();
    assert_eq!(
        (status, text.trim()),
        (StatusCode::BAD_REQUEST, "query parameter \"port\" is required")
    );
}
