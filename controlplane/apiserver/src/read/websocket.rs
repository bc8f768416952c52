//! What is only read, over WebSocket: watches, a message each event; logs use the same.

use std::pin::pin;

use axum::extract::FromRequestParts;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use bytes::{Buf, Bytes};
use controlplane_api::ApiError;
use controlplane_store::Store;
use futures::{Stream, StreamExt};
use http::HeaderMap;
use http::header::UPGRADE;

use crate::read::watch::{self, Wish};
use crate::reply::Reply;
use crate::request::accept::Encoding;
use crate::request::query::ListOptions;
use crate::server::Request;

/// A client has nothing to say but that it is there, or goes.
const FROM_CLIENT: usize = 4096;

/// Whether a request asks for a WebSocket.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers a watch request with a WebSocket: events in JSON as text messages, in protobuf as binary ones.
///
/// # Errors
///
/// 400 for a handshake that is none.
pub(crate) async fn reply(store: &Store, wish: Wish, options: &ListOptions, request: Request) -> Reply {
    let (upgrade, _) = handshake(request).await?;
    let encoding = wish.accepted.encoding;
    let pieces = watch::pieces(store, wish, options);
    Ok(upgrade.on_upgrade(move |socket| send(socket, pieces, move |piece| messages(piece, encoding))))
}

/// Takes the handshake out of a request for something that is only read.
///
/// # Errors
///
/// 400 for a handshake that is none.
pub(crate) async fn handshake(request: Request) -> Result<(WebSocketUpgrade, Request), ApiError> {
    let (mut parts, body) = request.into_parts();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &())
        .await
        .map_err(|refused| ApiError::bad_request(refused.body_text()))?;
    let bounded = upgrade.max_message_size(FROM_CLIENT).max_frame_size(FROM_CLIENT);
    Ok((bounded, Request::from_parts(parts, body)))
}

/// Sends what comes until it ends or the client goes; a client that does not read holds back what is sent, and nothing queues.
pub(crate) async fn send(
    mut socket: WebSocket,
    pieces: impl Stream<Item = Bytes> + Send,
    messages: impl Fn(Bytes) -> Vec<Message> + Send,
) {
    let mut pieces = pin!(pieces);
    loop {
        let piece = tokio::select! {
            // Cancel-safe: a stream's piece counts as taken only when it is returned.
            piece = pieces.next() => piece,
            // Cancel-safe: as are a socket's messages. What the client says is nothing to us.
            said = socket.recv() => match said {
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return,
            },
        };
        let Some(piece) = piece else { break };
        for message in messages(piece) {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    }
    // The client is told that this was all; one that is gone meanwhile needs not be.
    if let Err(error) = socket.send(Message::Close(None)).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a stream ended unheard");
    }
}

/// One message for each event of a piece.
fn messages(piece: Bytes, encoding: Encoding) -> Vec<Message> {
    match encoding {
        Encoding::Protobuf => frames(piece).into_iter().map(Message::Binary).collect(),
        Encoding::Json | Encoding::Yaml => {
            let lines = piece.split_inclusive(|byte| *byte == b'\n');
            let text = |line| String::from_utf8_lossy(line).into_owned().into();
            lines.map(|line| Message::Text(text(line))).collect()
        }
    }
}

/// The events behind their lengths, which a message has of its own.
fn frames(mut piece: Bytes) -> Vec<Bytes> {
    let mut found = Vec::new();
    while piece.len() >= 4 {
        let length = usize::try_from(piece.get_u32()).unwrap_or(usize::MAX);
        found.push(piece.split_to(length.min(piece.len())));
    }
    found
}
