//! The handshakes over a hyper upgrade: WebSocket (RFC 6455, §4.2), and SPDY as Kubernetes asks for it (apimachinery,
//! `pkg/util/httpstream`).

use std::future::Future;

use agent_streams::channel::Form;
use agent_streams::remote_command::Dialect;
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
use crate::wire::Link;

/// Longest message taken from a client, in bytes. Some clients send a whole file as one.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// What SPDY clients offer, a protocol in each value, and what is taken of it.
const STREAM_PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");

/// The protocols that a path speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spoken {
    /// Subprotocols of WebSockets; the empty one is for clients that name none.
    pub(crate) websocket: &'static [&'static str],
    /// Protocols of SPDY.
    pub(crate) spdy: &'static [&'static str],
}

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Agreed {
    /// A WebSocket with this subprotocol, or with none where it is empty.
    WebSocket(&'static str),
    /// SPDY/3.1 with this protocol.
    Spdy(&'static str),
}

/// A handshake that can be completed.
pub(crate) struct Upgrade {
    io: OnUpgrade,
    agreed: Agreed,
    headers: HeaderMap,
}

impl Upgrade {
    /// Checks the client's half of the handshake; the first protocol of its own list that is spoken is taken.
    ///
    /// # Errors
    ///
    /// 400 that says what is missing, 405 for a WebSocket with another method than GET, 403 where no protocol is
    /// common to both.
    pub(crate) fn negotiate(request: &mut Request, spoken: &Spoken) -> Result<Self, Refusal> {
        let asks = |for_what| {
            has_token(request.headers(), &UPGRADE, for_what)
                && has_token(request.headers(), &CONNECTION, "upgrade")
        };
        let (agreed, headers) = if asks("websocket") {
            websocket(request, spoken.websocket)?
        } else if asks("spdy/3.1") {
            spdy(request.headers(), spoken.spdy)?
        } else {
            let hint = "Upgrade request required: connect with Upgrade: websocket, or SPDY/3.1";
            return Err(Refusal::bad_request(hint));
        };
        let io = request
            .extensions_mut()
            .remove::<OnUpgrade>()
            .ok_or_else(|| Refusal::bad_request("this connection cannot be upgraded; use HTTP/1.1"))?;
        Ok(Self { io, agreed, headers })
    }

    /// What will be spoken.
    pub(crate) fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// The answer to send, and the connection that comes about once it is sent.
    pub(crate) fn accept(self) -> (Response, impl Future<Output = Result<Link, hyper::Error>> + Send) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = self.headers;
        let link = async move {
            let io = TokioIo::new(self.io.await?);
            let Agreed::WebSocket(protocol) = self.agreed else {
                return Ok(Link::Spdy(io));
            };
            let limits = WebSocketConfig::default()
                .max_message_size(Some(MAX_MESSAGE))
                .max_frame_size(Some(MAX_MESSAGE));
            let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(limits)).await;
            Ok(Link::WebSocket(Box::new(socket), form(protocol)))
        };
        (response, link)
    }
}

/// How messages of a subprotocol are written.
pub(crate) fn form(protocol: &str) -> Form {
    Dialect::of(protocol).form
}

fn websocket(request: &Request, spoken: &[&'static str]) -> Result<(Agreed, HeaderMap), Refusal> {
    let headers = request.headers();
    if request.method() != Method::GET {
        let hint = "a WebSocket is asked for with GET";
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, hint));
    }
    if !has_token(headers, &SEC_WEBSOCKET_VERSION, "13") {
        return Err(Refusal::bad_request("Sec-WebSocket-Version must be 13"));
    }
    let mut offered: Vec<&str> = tokens(headers, &SEC_WEBSOCKET_PROTOCOL).collect();
    if offered.is_empty() {
        offered.push("");
    }
    let protocol = choose(&offered, spoken)?;
    let accept = headers
        .get(SEC_WEBSOCKET_KEY)
        .and_then(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok())
        .ok_or_else(|| Refusal::bad_request("Sec-WebSocket-Key is missing"))?;
    let mut answer = switching("websocket");
    answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if !protocol.is_empty() {
        answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok((Agreed::WebSocket(protocol), answer))
}

fn spdy(headers: &HeaderMap, spoken: &'static [&'static str]) -> Result<(Agreed, HeaderMap), Refusal> {
    let offered: Vec<&str> = tokens(headers, &STREAM_PROTOCOL).collect();
    if offered.is_empty() {
        let hint = format!("unable to upgrade: {STREAM_PROTOCOL} is required");
        return Err(Refusal::bad_request(hint));
    }
    let protocol = choose(&offered, spoken).map_err(|refusal| refusal.accepting(spoken))?;
    let mut answer = switching("SPDY/3.1");
    answer.insert(STREAM_PROTOCOL, HeaderValue::from_static(protocol));
    Ok((Agreed::Spdy(protocol), answer))
}

fn switching(to: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(to));
    headers
}

fn choose(offered: &[&str], spoken: &[&'static str]) -> Result<&'static str, Refusal> {
    let known = |offer: &&str| spoken.iter().copied().find(|protocol| protocol == offer);
    offered.iter().find_map(known).ok_or_else(|| {
        Refusal::new(
            StatusCode::FORBIDDEN,
            format!(
                "unable to upgrade: unable to negotiate protocol: client supports {offered:?}, server accepts {spoken:?}"
            ),
        )
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
