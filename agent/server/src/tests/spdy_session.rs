//! Exec, attach and port-forward over SPDY/3.1, without a WebSocket.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_streams::spdy::{Frame, StreamId};
use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::client::{Endpoint, text};
use super::spdy_client::{Received, SpdyClient};

const V4: &str = "v4.channel.k8s.io";
const ALL: [&str; 4] = [V4, "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];

struct Exec {
    client: SpdyClient,
    streams: BTreeMap<&'static str, StreamId>,
}

impl Exec {
    async fn start(endpoint: &mut Endpoint, path: &str, roles: &[&'static str]) -> Self {
        Self::with(endpoint, path, &ALL, roles).await
    }

    async fn with(endpoint: &mut Endpoint, path: &str, protocols: &[&str], roles: &[&'static str]) -> Self {
        let (taken, io) = endpoint.open_spdy(path, protocols).await.unwrap();
        assert_eq!(taken, protocols[0]);
        let mut client = SpdyClient::plain(io);
        let mut streams = BTreeMap::new();
        for role in roles {
            streams.insert(*role, client.stream(role).await.unwrap());
        }
        Self { client, streams }
    }

    async fn say(&mut self, role: &str, bytes: &[u8], fin: bool) {
        let stream = self.streams[role];
        self.client.data(stream, bytes, fin).await;
    }

    /// Reads until the connection ends.
    async fn rest(mut self) -> BTreeMap<&'static str, Received> {
        let mut said: BTreeMap<&'static str, Received> = BTreeMap::new();
        while let Some(frame) = self.client.next().await {
            if let Frame::Data { stream, fin, bytes } = frame {
                let role = self.streams.iter().find(|(_, id)| **id == stream).unwrap().0;
                let received = said.entry(role).or_default();
                assert!(!received.fin, "{role} goes on after its end");
                received.data.extend_from_slice(&bytes);
                received.fin = fin;
            }
        }
        said
    }
}

fn status(said: &BTreeMap<&'static str, Received>) -> serde_json::Value {
    serde_json::from_slice(&said["error"].data).unwrap()
}

#[tokio::test]
async fn an_exit_code_arrives_after_all_output_and_every_stream_ends() {
    let mut endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=exit&command=7&output=1&error=1";
    let exec = Exec::start(&mut endpoint, path, &["error", "stdout", "stderr"]).await;
    let said = exec.rest().await;
    assert_eq!(
        (&*said["stdout"].data, &*said["stderr"].data),
        (&b"out"[..], &b"err"[..])
    );
    assert_eq!(status(&said)["details"]["causes"][0]["message"], "7");
    assert!(said.values().all(|received| received.fin));
}

#[tokio::test]
async fn the_end_of_stdin_ends_a_process_that_reads_it() {
    let mut endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=cat&input=1&output=1";
    let mut exec = Exec::start(&mut endpoint, path, &["error", "stdin", "stdout"]).await;
    exec.say("stdin", b"hello ", false).await;
    exec.say("stdin", b"world", true).await;
    let said = exec.rest().await;
    assert_eq!(said["stdout"].data, b"hello world");
    assert_eq!(status(&said)["status"], "Success");
}

#[tokio::test]
async fn stdin_that_comes_before_the_last_stream_is_kept() {
    let mut endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=cat&input=1&output=1";
    let mut exec = Exec::start(&mut endpoint, path, &["error", "stdin"]).await;
    exec.say("stdin", b"early", true).await;
    let first = exec.client.stream("stdout").await.unwrap_err();
    assert_eq!(first, Frame::WindowUpdate { stream: 3, delta: 5 });
    exec.streams.insert("stdout", 5);
    assert_eq!(exec.rest().await["stdout"].data, b"early");
}

#[tokio::test]
async fn a_terminal_learns_its_size_from_a_stream() {
    let mut endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=size&input=1&output=1&error=1&tty=1";
    let roles = ["error", "stdin", "stdout", "resize"];
    let mut exec = Exec::start(&mut endpoint, path, &roles).await;
    exec.say("resize", b"{\"Width\":120,\"Hei", false).await;
    exec.say("resize", b"ght\":40}\n", false).await;
    assert_eq!(exec.rest().await["stdout"].data, b"120x40");
}

#[tokio::test]
async fn older_versions_have_no_resize_stream_and_tell_failures_as_text() {
    let mut endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=exit&command=7&output=1&tty=1";
    for protocol in ["v2.channel.k8s.io", "channel.k8s.io"] {
        let exec = Exec::with(&mut endpoint, path, &[protocol], &["error", "stdout"]).await;
        let said = exec.rest().await;
        let told = String::from_utf8_lossy(&said["error"].data).into_owned();
        assert_eq!(
            told, "command terminated with non-zero exit code: 7",
            "{protocol}"
        );
    }
}

#[tokio::test]
async fn an_attach_is_served_as_an_exec_is() {
    let mut endpoint = Endpoint::start().await;
    let exec = Exec::start(
        &mut endpoint,
        "/attach/default/web/app?output=1",
        &["error", "stdout"],
    );
    let said = exec.await.rest().await;
    assert_eq!(said["stdout"].data, b"out");
    assert_eq!(status(&said)["status"], "Success");
}

#[tokio::test]
async fn a_container_that_is_not_there_is_told_on_the_error_stream() {
    let mut endpoint = Endpoint::start().await;
    let path = "/exec/default/web/gone?command=cat&output=1";
    let said = Exec::start(&mut endpoint, path, &["error", "stdout"])
        .await
        .rest()
        .await;
    assert_eq!(status(&said)["reason"], "NotFound");
    assert!(said["stdout"].fin);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_buffered_for_and_may_vanish() {
    let mut endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=spill&command=1000000000&output=1";
    let exec = Exec::start(&mut endpoint, path, &["error", "stdout"]).await;
    endpoint.twin.alive(1).await;
    drop(exec);
    endpoint.twin.alive(0).await;
}

#[tokio::test]
async fn a_megabyte_through_cat_arrives_whole_and_gives_the_window_back() {
    let mut endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=cat&input=1&output=1";
    let mut exec = Exec::start(&mut endpoint, path, &["error", "stdin", "stdout"]).await;
    let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let (stdin, stdout) = (exec.streams["stdin"], exec.streams["stdout"]);
    let (mut came, mut returned) = (Vec::new(), 0);
    for piece in sent.chunks(50_000) {
        exec.client.data(stdin, piece, false).await;
        while came.len() < returned || returned < came.len() || came.len() % 50_000 != 0 || came.is_empty() {
            match exec.client.next().await.unwrap() {
                Frame::Data { stream, bytes, .. } if stream == stdout => came.extend_from_slice(&bytes),
                Frame::WindowUpdate { stream, delta } if stream == stdin => {
                    returned += usize::try_from(delta).unwrap();
                }
                other => panic!("{other:?}"),
            }
        }
    }
    exec.say("stdin", b"", true).await;
    let rest = exec.rest().await;
    came.extend(rest.get("stdout").map_or(&[][..], |received| &received.data));
    assert!(came == sent, "{} of {} bytes came back", came.len(), sent.len());
}

#[tokio::test]
async fn streams_that_nobody_wants_are_refused_and_pings_answered() {
    let mut endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=sleep&output=1";
    let mut exec = Exec::start(&mut endpoint, path, &["error"]).await;
    for role in ["error", "stdin", "nonsense"] {
        let refused = exec.client.stream(role).await.unwrap_err();
        assert!(
            matches!(refused, Frame::RstStream { reason: 3, .. }),
            "{role}: {refused:?}"
        );
    }
    exec.client.send(Frame::Ping(9)).await;
    assert_eq!(exec.client.next().await, Some(Frame::Ping(9)));
    // Frames for streams that are not there change nothing.
    let (stream, fin, bytes) = (99, true, Bytes::from_static(b"x"));
    exec.client.send(Frame::Data { stream, fin, bytes }).await;
    exec.client.send(Frame::RstStream { stream, reason: 5 }).await;
    let delta = u32::MAX;
    exec.client.send(Frame::WindowUpdate { stream, delta }).await;
    exec.client.stream("stdout").await.unwrap();
    endpoint.twin.alive(1).await;
}

#[tokio::test]
async fn frames_that_are_too_long_and_header_bombs_end_the_session_with_a_goaway() {
    let mut endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=sleep&output=1&input=1";
    // A length of 16 MiB; a SYN_STREAM whose block inflates to a megabyte of zeros.
    let long = Bytes::from_static(b"\0\0\0\x03\0\xff\xff\xff");
    let mut bomb = agent_streams::spdy::Encoder::new().unwrap();
    let value = "x".repeat(1_000_000);
    let headers = agent_streams::spdy::Headers::from([("streamtype", value.as_str())]);
    let bomb = bomb.syn_stream(99, false, &headers).unwrap();
    for bytes in [long, bomb] {
        let mut exec = Exec::start(&mut endpoint, path, &["error", "stdin", "stdout"]).await;
        endpoint.twin.alive(1).await;
        exec.client.send_raw(bytes).await;
        let last = exec.client.next().await;
        assert!(matches!(last, Some(Frame::GoAway { status: 1, .. })), "{last:?}");
        assert_eq!(exec.client.next().await, None);
        endpoint.twin.alive(0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opens_no_streams_is_sent_away() {
    let mut endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=sleep&output=1";
    let (_, io) = endpoint.open_spdy(path, &[V4]).await.unwrap();
    let mut client = SpdyClient::plain(io);
    tokio::time::advance(Duration::from_secs(31)).await;
    let last = loop {
        match client.next().await {
            Some(Frame::Ping(_)) => {}
            other => break other,
        }
    };
    assert_eq!(last, Some(Frame::GoAway { last: 0, status: 1 }));
}

#[tokio::test]
async fn what_cannot_be_agreed_on_is_refused_as_upstream_does() {
    let mut endpoint = Endpoint::start().await;
    let path = "/exec/default/web/app?command=cat&output=1";
    let refused = endpoint
        .open_spdy(path, &["v9.channel.k8s.io"])
        .await
        .unwrap_err();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let accepted = refused.headers().get_all("x-accepted-stream-protocol-versions");
    assert_eq!(accepted.iter().collect::<Vec<_>>(), ALL);
    let told = text(refused).await;
    assert!(told.contains("unable to negotiate protocol"), "{told}");
    let refused = endpoint.open_spdy(path, &[]).await.unwrap_err();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let refused = endpoint.get(path).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(text(refused).await.contains("Upgrade request required"));
}

#[tokio::test]
async fn port_forward_carries_connection_after_connection() {
    let mut endpoint = Endpoint::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    endpoint.tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut said = Vec::new();
            stream.read_to_end(&mut said).await.unwrap();
            stream.write_all(&said).await.unwrap();
        }
    });
    let opened = endpoint.open_spdy("/portForward/default/web", &["portforward.k8s.io"]);
    let mut client = SpdyClient::plain(opened.await.unwrap().1);
    for request in ["0", "1", "2"] {
        let (error, data) = client.connect(port, request).await;
        client.data(data, request.as_bytes(), true).await;
        let (failure, received) = client.finish(error, data).await;
        assert_eq!(received.data, request.as_bytes());
        assert!(failure.data.is_empty());
    }
}

#[tokio::test]
async fn a_pod_that_reads_nothing_is_not_buffered_for() {
    let mut endpoint = Endpoint::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    endpoint.tasks.spawn(async move {
        let (_stream, _) = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
    });
    let opened = endpoint.open_spdy("/portForward/default/web", &["portforward.k8s.io"]);
    let mut client = SpdyClient::plain(opened.await.unwrap().1);
    let (_, data) = client.connect(port, "0").await;
    let mut sent = 0_usize;
    let piece = vec![0; 60_000];
    // Far more than any window: at some point nothing is taken any more.
    let flood = async {
        loop {
            client.data(data, &piece, false).await;
            sent += piece.len();
        }
    };
    drop(tokio::time::timeout(Duration::from_secs(2), flood).await);
    assert!(
        sent < 32 * 1024 * 1024,
        "{sent} bytes were taken for a pod that reads nothing"
    );
}
