//! The `Status` object, with upstream's reasons and their codes.

use serde::{Deserialize, Serialize};

/// Machine-readable reason of a failure; upstream's `metav1.StatusReason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// 401: no valid credentials.
    Unauthorized,
    /// 403: known, and not allowed.
    Forbidden,
    /// 404: no such object, kind or path.
    NotFound,
    /// 409: a create of something that is there.
    AlreadyExists,
    /// 409: the object has changed meanwhile, or a precondition failed.
    Conflict,
    /// 410: gone for good.
    Gone,
    /// 422: the object breaks rules.
    Invalid,
    /// 500: try again.
    ServerTimeout,
    /// 504: the request's time ran out.
    Timeout,
    /// 429: too many requests.
    TooManyRequests,
    /// 400: the request makes no sense.
    BadRequest,
    /// 405: not for this resource.
    MethodNotAllowed,
    /// 406: no form the client accepts.
    NotAcceptable,
    /// 413: too large.
    RequestEntityTooLarge,
    /// 415: not a form the server reads.
    UnsupportedMediaType,
    /// 500: a fault of the server.
    InternalError,
    /// 410: the resource version or continue token is older than history.
    Expired,
    /// 503: not now.
    ServiceUnavailable,
}

impl Reason {
    /// The HTTP status code that goes with the reason.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Gone | Self::Expired => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::InternalError | Self::ServerTimeout => 500,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
        }
    }
}

/// `v1` `Status`, as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Always `Status`.
    pub kind: String,
    /// Always `v1`.
    pub api_version: String,
    /// List metadata: where a list may be gone on with that cannot be finished as it began.
    #[serde(default)]
    pub metadata: StatusMeta,
    /// `Success` or `Failure`.
    pub status: String,
    /// What happened, for a person.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What happened, for a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// What it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// The HTTP status code.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub code: u16,
}

/// List metadata of a [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StatusMeta {
    /// A continue token that leads on, though over another state; mostly empty.
    #[serde(default, rename = "continue", skip_serializing_if = "String::is_empty")]
    pub next: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
fn is_zero(code: &u16) -> bool {
    *code == 0
}

/// What a [`Status`] speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Name of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group; empty for core.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Plural resource name, or the kind for 422 (upstream's habit).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// UID of the object.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// One entry a mistake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

/// One mistake of several.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cause {
    /// Machine-readable, such as `FieldValueRequired`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For a person, without the field's path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The field's path.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

impl Status {
    /// The answer to a delete that is done: `Success` with what was deleted.
    #[must_use]
    pub fn success(details: Details) -> Self {
        Self {
            kind: "Status".to_owned(),
            api_version: "v1".to_owned(),
            metadata: StatusMeta::default(),
            status: "Success".to_owned(),
            message: String::new(),
            reason: None,
            details: Some(details),
            code: 0,
        }
    }
}
