//! Logs over WebSocket, as browsers ask for them: pieces as binary messages, or in base64 as text.

use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures::{StreamExt, future, stream};
use tokio_util::sync::CancellationToken;

use crate::read::websocket;

/// Without a subprotocol the first counts.
const BINARY: &str = "binary.k8s.io";

/// For clients that have text messages only.
const BASE64: &str = "base64.binary.k8s.io";

/// Sends the bytes of `log`, after an empty message that says that it begins, until they end, `stop` or the client goes.
pub(super) fn reply(upgrade: WebSocketUpgrade, log: Response, stop: CancellationToken) -> Response {
    let upgrade = upgrade.protocols([BINARY, BASE64]);
    let in_base64 = upgrade
        .selected_protocol()
        .is_some_and(|protocol| protocol.as_bytes() == BASE64.as_bytes());
    let lines = log.into_body().into_data_stream();
    // A stream that breaks off is one that ends: there is no way to say more.
    let lines = lines.scan((), |(), piece| future::ready(piece.ok()));
    let pieces = stream::once(future::ready(Bytes::new())).chain(lines);
    let pieces = pieces.take_until(async move { stop.cancelled().await });
    let message = move |piece: Bytes| match in_base64 {
        true => vec![Message::Text(BASE64_STANDARD.encode(piece).into())],
        false => vec![Message::Binary(piece)],
    };
    upgrade.on_upgrade(move |socket| websocket::send(socket, pieces, message))
}
