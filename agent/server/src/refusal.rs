//! Refusals as HTTP answers: a status and a line of plain text, as the kubelet writes them.

use std::error::Error;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use tracing::warn;

use crate::access::AccessError;

/// What a server would have taken, where it takes nothing that a SPDY client offers (apimachinery, `httpstream`).
const ACCEPTED_PROTOCOLS: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// An HTTP answer that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    message: String,
    /// Protocols that would have been taken.
    accepted: &'static [&'static str],
}

impl Refusal {
    /// `message` goes to the caller as it is.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            status,
            message,
            accepted: &[],
        }
    }

    /// 400.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The same, and which protocols would have been taken.
    pub(crate) fn accepting(self, accepted: &'static [&'static str]) -> Self {
        Self { accepted, ..self }
    }
}

impl From<AccessError> for Refusal {
    fn from(error: AccessError) -> Self {
        let status = status_of(&error);
        if status.is_server_error() {
            warn!(error = &error as &dyn Error, "request about a pod failed");
        }
        Self::new(status, chain(&error))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, format!("{}\n", self.message)).into_response();
        for protocol in self.accepted {
            let value = HeaderValue::from_static(protocol);
            response.headers_mut().append(ACCEPTED_PROTOCOLS, value);
        }
        response
    }
}

/// The one HTTP status of each refusal.
pub(crate) fn status_of(error: &AccessError) -> StatusCode {
    match error {
        AccessError::PodNotFound { .. } | AccessError::ContainerNotFound { .. } => StatusCode::NOT_FOUND,
        AccessError::NotReady { .. } | AccessError::NoPrevious { .. } => StatusCode::BAD_REQUEST,
        AccessError::Unsupported { .. } => StatusCode::NOT_IMPLEMENTED,
        AccessError::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// An error and its causes on one line, for a reader at the other end of the network.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
