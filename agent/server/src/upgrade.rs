//! The WebSocket handshake over a hyper upgrade (RFC 6455, §4.2).

use std::future::Future;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::refusal::Refusal;
use crate::wire::Socket;

/// Longest message taken from a client, in bytes. Some clients send a whole file as one.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// A handshake that can be completed.
pub(crate) struct Upgrade {
    io: OnUpgrade,
    accept: HeaderValue,
    protocol: &'static str,
}

impl Upgrade {
    /// Checks the client's half of the handshake; of `supported`, the first that the client offers is taken.
    ///
    /// # Errors
    ///
    /// 400 that says what is missing.
    pub(crate) fn negotiate(request: &mut Request, supported: &[&'static str]) -> Result<Self, Refusal> {
        let headers = request.headers();
        let asks = has_token(headers, &UPGRADE, "websocket") && has_token(headers, &CONNECTION, "upgrade");
        if request.method() != Method::GET || !asks {
            let hint = "Upgrade request required: connect with GET and Upgrade: websocket";
            return Err(Refusal::bad_request(hint));
        }
        if !has_token(headers, &SEC_WEBSOCKET_VERSION, "13") {
            return Err(Refusal::bad_request("Sec-WebSocket-Version must be 13"));
        }
        let protocol = choose(headers, supported)?;
        let accept = headers
            .get(SEC_WEBSOCKET_KEY)
            .and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok())
            .ok_or_else(|| Refusal::bad_request("Sec-WebSocket-Key is missing"))?;
        let io = request
            .extensions_mut()
            .remove::<OnUpgrade>()
            .ok_or_else(|| Refusal::bad_request("this connection cannot be upgraded; use HTTP/1.1"))?;
        Ok(Self { io, accept, protocol })
    }

    /// The subprotocol that will be spoken.
    pub(crate) fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// The answer to send, and the socket that comes about once it is sent.
    pub(crate) fn accept(
        self,
    ) -> (
        Response,
        impl Future<Output = Result<Socket, hyper::Error>> + Send,
    ) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(self.protocol));
        let socket = async {
            let io = TokioIo::new(self.io.await?);
            let limits = WebSocketConfig::default()
                .max_message_size(Some(MAX_MESSAGE))
                .max_frame_size(Some(MAX_MESSAGE));
            Ok(WebSocketStream::from_raw_socket(io, Role::Server, Some(limits)).await)
        };
        (response, socket)
    }
}

fn choose(headers: &HeaderMap, supported: &[&'static str]) -> Result<&'static str, Refusal> {
    let offered = |protocol: &&str| has_token(headers, &SEC_WEBSOCKET_PROTOCOL, protocol);
    supported.iter().copied().find(offered).ok_or_else(|| {
        let client: Vec<_> = tokens(headers, &SEC_WEBSOCKET_PROTOCOL).collect();
        Refusal::bad_request(format!(
            "unable to upgrade: unable to negotiate protocol: client supports {client:?}, server accepts {supported:?}"
        ))
    })
}

fn has_token(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted))
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}
