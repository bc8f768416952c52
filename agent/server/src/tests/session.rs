//! Exec and attach.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::client::{Endpoint, WebSocket};

const V5: &str = "v5.channel.k8s.io";
const STREAMS: &str = "input=1&output=1&error=1";

/// Everything a session said until its end.
#[derive(Debug, Default)]
struct Said {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    status: Value,
    close: Option<CloseCode>,
}

async fn exec(endpoint: &Endpoint, command: &str, streams: &str) -> WebSocket {
    let words: Vec<_> = command.split(' ').map(|word| format!("command={word}")).collect();
    let path = format!("/exec/default/web/app?{}&{streams}", words.join("&"));
    let mut socket = endpoint.open(&path, V5).await.unwrap();
    let greeting = socket.next().await.unwrap().unwrap();
    assert!(matches!(greeting, Message::Binary(bytes) if bytes.len() == 1));
    socket
}

async fn send(socket: &mut WebSocket, message: &[u8]) {
    let message = Message::Binary(Bytes::copy_from_slice(message));
    socket.send(message).await.unwrap();
}

async fn rest(mut socket: WebSocket) -> Said {
    let mut said = Said::default();
    while let Some(Ok(message)) = socket.next().await {
        match message {
            Message::Binary(bytes) => match bytes[0] {
                1 => said.stdout.extend_from_slice(&bytes[1..]),
                2 => said.stderr.extend_from_slice(&bytes[1..]),
                3 => said.status = serde_json::from_slice(&bytes[1..]).unwrap(),
                other => panic!("channel {other}"),
            },
            Message::Close(close) => said.close = close.map(|close| close.code),
            _ => {}
        }
    }
    said
}

#[tokio::test]
async fn an_exit_code_arrives_after_all_output() {
    let endpoint = Endpoint::start().await;
    let said = rest(exec(&endpoint, "exit 7", STREAMS).await).await;
    assert_eq!(
        (said.stdout.as_slice(), said.stderr.as_slice()),
        (b"out".as_slice(), b"err".as_slice())
    );
    assert_eq!(said.status["reason"], "NonZeroExitCode");
    assert_eq!(said.status["details"]["causes"][0]["message"], "7");
    assert_eq!(said.close, Some(CloseCode::Normal));
}

#[tokio::test]
async fn closing_stdin_ends_a_process_that_reads_it_to_the_end() {
    let endpoint = Endpoint::start().await;
    let mut socket = exec(&endpoint, "cat", STREAMS).await;
    send(&mut socket, b"\0hello ").await;
    send(&mut socket, b"\0world").await;
    send(&mut socket, b"\xff\0").await;
    let said = rest(socket).await;
    assert_eq!(said.stdout, b"hello world");
    assert_eq!(said.status["status"], "Success");
}

#[tokio::test]
async fn a_terminal_learns_its_size_and_has_one_output() {
    let endpoint = Endpoint::start().await;
    let mut socket = exec(&endpoint, "size", &format!("{STREAMS}&tty=1")).await;
    send(&mut socket, b"\x04{\"Width\":120,\"Height\":40}").await;
    assert_eq!(rest(socket).await.stdout, b"120x40");
}

#[tokio::test]
async fn a_megabyte_of_output_arrives_whole() {
    let endpoint = Endpoint::start().await;
    let said = rest(exec(&endpoint, "spill 1000000", STREAMS).await).await;
    assert_eq!(said.stdout.len(), 1_000_000);
    assert_eq!(said.status["status"], "Success");
}

#[tokio::test]
async fn output_nobody_asked_for_is_dropped_and_holds_nothing_up() {
    let endpoint = Endpoint::start().await;
    let said = rest(exec(&endpoint, "spill 1000000", "error=1").await).await;
    assert!(said.stdout.is_empty() && said.stderr.is_empty());
    assert_eq!(said.status["status"], "Success");
}

#[tokio::test]
async fn a_client_that_vanishes_ends_its_process() {
    let endpoint = Endpoint::start().await;
    let socket = exec(&endpoint, "sleep", STREAMS).await;
    endpoint.twin.alive(1).await;
    drop(socket);
    endpoint.twin.alive(0).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_buffered_for_and_may_vanish() {
    let endpoint = Endpoint::start().await;
    let socket = exec(&endpoint, "spill 1000000000", STREAMS).await;
    endpoint.twin.alive(1).await;
    drop(socket);
    endpoint.twin.alive(0).await;
}

#[tokio::test]
async fn pings_are_answered() {
    let endpoint = Endpoint::start().await;
    let mut socket = exec(&endpoint, "sleep", STREAMS).await;
    let ping = Message::Ping(Bytes::from_static(b"there?"));
    socket.send(ping).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    assert_eq!(answer, Message::Pong(Bytes::from_static(b"there?")));
}

#[tokio::test]
async fn sessions_end_as_failures_when_the_server_stops() {
    let endpoint = Endpoint::start().await;
    let socket = exec(&endpoint, "sleep", STREAMS).await;
    endpoint.stop.cancel();
    let said = rest(socket).await;
    assert_eq!(
        (said.status["status"].as_str(), said.close),
        (Some("Failure"), Some(CloseCode::Normal))
    );
    endpoint.twin.alive(0).await;
}

#[tokio::test]
async fn a_client_that_goes_on_sending_still_learns_how_the_process_ended() {
    let endpoint = Endpoint::start().await;
    let (mut sink, mut stream) = exec(&endpoint, "exit 7", STREAMS).await.split();
    let sending = async {
        // Ends when the server closes its side, with the rest unsent.
        while sink
            .send(Message::Binary(Bytes::from(vec![0; 100_000])))
            .await
            .is_ok()
        {}
    };
    let reading = async {
        let mut last = Bytes::new();
        while let Some(Ok(message)) = stream.next().await {
            if let Message::Binary(bytes) = message {
                last = bytes;
            }
        }
        last
    };
    let ((), last) = futures::join!(sending, reading);
    assert!(last.starts_with(b"\x03") && String::from_utf8_lossy(&last).contains("NonZeroExitCode"));
}

#[tokio::test]
async fn version_4_is_spoken_to_older_clients() {
    let endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=exit&command=0&output=1";
    let socket = endpoint
        .open(path, "v4.channel.k8s.io, channel.k8s.io")
        .await
        .unwrap();
    let said = rest(socket).await;
    assert_eq!(
        (said.stdout.as_slice(), said.status["status"].as_str()),
        (b"out".as_slice(), Some("Success"))
    );
}

#[tokio::test]
async fn an_attach_that_outlives_the_container_is_success() {
    let endpoint = Endpoint::start().await;
    let socket = endpoint
        .open("/attach/default/web/app?output=1", V5)
        .await
        .unwrap();
    let said = rest(socket).await;
    assert_eq!(
        (said.stdout.as_slice(), said.status["status"].as_str()),
        (b"out".as_slice(), Some("Success"))
    );
}

#[tokio::test]
async fn why_nothing_was_started_arrives_on_the_error_channel() {
    let endpoint = Endpoint::start().await;
    let cases = [
        (
            "/exec/default/gone/app?command=cat&output=1",
            "NotFound",
            "pods \"gone\" not found",
        ),
        (
            "/exec/default/web/gone?command=cat&output=1",
            "NotFound",
            "container \"gone\" not found",
        ),
        (
            "/exec/default/web/app?command=broken&output=1",
            "InternalError",
            "app\": no such process",
        ),
    ];
    for (path, reason, message) in cases {
        let said = rest(endpoint.open(path, V5).await.unwrap()).await;
        assert_eq!(said.status["reason"], reason, "{path}");
        let told = said.status["message"].as_str().unwrap();
        assert!(told.contains(message), "{told}");
    }
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_before_the_upgrade() {
    let endpoint = Endpoint::start().await;
    let (status, text) = endpoint
        .open("/exec/default/web/app?command=cat", V5)
        .await
        .unwrap_err();
    assert_eq!(
        (status.as_u16(), text.trim()),
        (400, "you must specify at least 1 of stdin, stdout, stderr")
    );
    let path = "/exec/default/web/app?command=cat&output=1";
    let (status, text) = endpoint.open(path, "v9.channel.k8s.io").await.unwrap_err();
    assert!(status == 403 && text.contains("server accepts"), "{text}");
}
