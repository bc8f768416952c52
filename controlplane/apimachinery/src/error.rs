//! Failed requests, one constructor a failure class, with upstream's messages, reasons and causes.

use std::fmt;

use crate::field::{FieldError, quote};
use crate::status::{Cause, Details, Reason, Status, StatusMeta};

/// A failed request: a [`Status`] of `Failure`, as an error.
///
/// Made by one constructor a failure class, so that reason, code and message always fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError(Box<Status>);

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ApiError {}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        *error.0
    }
}

/// `deployments.apps`, or `pods` for the core group.
fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}

fn details(group: &str, kind: &str, name: &str) -> Details {
    Details {
        name: name.to_owned(),
        group: group.to_owned(),
        kind: kind.to_owned(),
        ..Details::default()
    }
}

impl ApiError {
    fn new(reason: Reason, message: impl Into<String>, details: Option<Details>) -> Self {
        Self(Box::new(Status {
            kind: "Status".to_owned(),
            api_version: "v1".to_owned(),
            metadata: StatusMeta::default(),
            status: "Failure".to_owned(),
            message: message.into(),
            reason: Some(reason),
            details,
            code: reason.code(),
        }))
    }

    /// The HTTP status code.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.0.code
    }

    /// The machine-readable reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason.unwrap_or(Reason::InternalError)
    }

    /// The whole answer.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.0
    }

    /// Adds when the client should try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.details.get_or_insert_default().retry_after_seconds = Some(seconds);
        self
    }

    /// Adds what a program can act on, such as that a namespace is going away.
    #[must_use]
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.0.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// 404: `pods "web" not found`.
    #[must_use]
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {} not found", qualified(group, resource), quote(name));
        Self::new(Reason::NotFound, message, Some(details(group, resource, name)))
    }

    /// 404 for a path or kind that the server does not serve.
    #[must_use]
    pub fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(Reason::NotFound, message, Some(Details::default()))
    }

    /// 409: `pods "web" already exists`.
    #[must_use]
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {} already exists", qualified(group, resource), quote(name));
        Self::new(
            Reason::AlreadyExists,
            message,
            Some(details(group, resource, name)),
        )
    }

    /// 409: `Operation cannot be fulfilled on pods "web": why`.
    #[must_use]
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {}: {why}",
            qualified(group, resource),
            quote(name)
        );
        Self::new(Reason::Conflict, message, Some(details(group, resource, name)))
    }

    /// 409 for a `resourceVersion` that is not the current one.
    #[must_use]
    pub fn modified(group: &str, resource: &str, name: &str) -> Self {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(group, resource, name, why)
    }

    /// 409 of a server-side apply: one cause for each field that somebody else owns.
    #[must_use]
    pub fn apply_conflict(message: impl Into<String>, causes: Vec<Cause>) -> Self {
        let details = Details {
            causes,
            ..Details::default()
        };
        Self::new(Reason::Conflict, message, Some(details))
    }

    /// 422: `Pod "web" is invalid: …`, one mistake plain, several in brackets.
    #[must_use]
    pub fn invalid(group: &str, kind: &str, name: &str, errors: Vec<FieldError>) -> Self {
        let mut message = format!("{} {} is invalid", qualified(group, kind), quote(name));
        let listed = aggregate(&errors);
        if !listed.is_empty() {
            message = format!("{message}: {listed}");
        }
        let causes = errors.iter().map(cause).collect();
        Self::new(
            Reason::Invalid,
            message,
            Some(Details {
                causes,
                ..details(group, kind, name)
            }),
        )
    }

    /// 422 for a patch that does not fit the object, in as few words as upstream has for it.
    #[must_use]
    pub fn unprocessable() -> Self {
        let message = "the server rejected our request due to an error in our request";
        Self::new(Reason::Invalid, message, Some(Details::default()))
    }

    /// 400 with the message as given.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message, None)
    }

    /// 401: `Unauthorized`.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(Reason::Unauthorized, "Unauthorized", None)
    }

    /// 403: `pods "web" is forbidden: why`; without a name, `pods is forbidden: why`.
    #[must_use]
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, resource);
        let message = match (resource.is_empty(), name.is_empty()) {
            (true, _) => format!("forbidden: {why}"),
            (false, true) => format!("{what} is forbidden: {why}"),
            (false, false) => format!("{what} {} is forbidden: {why}", quote(name)),
        };
        Self::new(Reason::Forbidden, message, Some(details(group, resource, name)))
    }

    /// 410 `Expired`: history no longer reaches back that far; list again.
    #[must_use]
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(Reason::Expired, message, None)
    }

    /// 410 `Expired`: the state that a list is paged over is gone; `next` leads on over the newest.
    #[must_use]
    pub fn expired_page(next: String) -> Self {
        let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
        let mut error = Self::new(Reason::Expired, message, None);
        error.0.metadata.next = next;
        error
    }

    /// 410 `Gone`.
    #[must_use]
    pub fn gone(message: impl Into<String>) -> Self {
        Self::new(Reason::Gone, message, None)
    }

    /// 405: `patch is not supported on resources of kind "bindings"`.
    #[must_use]
    pub fn method_not_supported(group: &str, resource: &str, action: &str) -> Self {
        let message = format!(
            "{action} is not supported on resources of kind {}",
            quote(&qualified(group, resource))
        );
        Self::new(
            Reason::MethodNotAllowed,
            message,
            Some(details(group, resource, "")),
        )
    }

    /// 405 for an HTTP method that the path does not have.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(Reason::MethodNotAllowed, message, Some(Details::default()))
    }

    /// 406, naming what the server can send.
    #[must_use]
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!(
            "only the following media types are accepted: {}",
            accepted.join(", ")
        );
        Self::new(Reason::NotAcceptable, message, None)
    }

    /// 406 for objects that no table can show.
    #[must_use]
    pub fn no_table(resource: &str) -> Self {
        let message = format!("the resource {resource} does not support being converted to a Table");
        Self::new(Reason::NotAcceptable, message, None)
    }

    /// 415, naming what the server can read.
    #[must_use]
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let list = accepted.join(", ");
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {list}"
        );
        Self::new(Reason::UnsupportedMediaType, message, None)
    }

    /// 413: `Request entity is too large: why`.
    #[must_use]
    pub fn too_large(why: &str) -> Self {
        Self::new(
            Reason::RequestEntityTooLarge,
            format!("Request entity is too large: {why}"),
            None,
        )
    }

    /// 429, with the seconds to wait.
    #[must_use]
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(Reason::TooManyRequests, message, None).retry_after(retry_after_seconds)
    }

    /// 500 without a reason, as upstream answers where an error is no status.
    #[must_use]
    pub fn unknown(message: impl Into<String>) -> Self {
        let mut error = Self::new(Reason::InternalError, message, None);
        error.0.reason = None;
        error
    }

    /// 500: `Internal error occurred: why`.
    #[must_use]
    pub fn internal(why: &str) -> Self {
        let causes = vec![Cause {
            message: why.to_owned(),
            ..Cause::default()
        }];
        let details = Details {
            causes,
            ..Details::default()
        };
        Self::new(
            Reason::InternalError,
            format!("Internal error occurred: {why}"),
            Some(details),
        )
    }

    /// 500 `ServerTimeout`: the operation could not be completed now.
    #[must_use]
    pub fn server_timeout(group: &str, resource: &str, operation: &str, retry_after_seconds: u32) -> Self {
        let what = qualified(group, resource);
        let message = format!(
            "The {operation} operation against {what} could not be completed at this time, please try again."
        );
        Self::new(
            Reason::ServerTimeout,
            message,
            Some(details(group, resource, operation)),
        )
        .retry_after(retry_after_seconds)
    }

    /// 504: `Timeout: why`.
    #[must_use]
    pub fn timeout(why: &str) -> Self {
        Self::new(
            Reason::Timeout,
            format!("Timeout: {why}"),
            Some(Details::default()),
        )
    }

    /// 504 for a resource version that is not reached yet; the cause tells clients what to wait for.
    #[must_use]
    pub fn version_too_large(requested: u64, current: u64) -> Self {
        let mut error = Self::timeout(&format!(
            "Too large resource version: {requested}, current: {current}"
        ));
        error.0.details.get_or_insert_default().causes.push(Cause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        });
        error.retry_after(1)
    }

    /// 503 with the message as given.
    #[must_use]
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::new(Reason::ServiceUnavailable, message, None)
    }
}

fn cause(error: &FieldError) -> Cause {
    Cause {
        reason: error.kind.reason().to_owned(),
        message: error.body(),
        field: error.path.clone(),
    }
}

/// All messages, each once: one plain, several as `[a, b]`.
fn aggregate(errors: &[FieldError]) -> String {
    let mut messages: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let message = error.to_string();
        if !messages.contains(&message) {
            messages.push(message);
        }
    }
    if messages.len() == 1 {
        messages.concat()
    } else if messages.is_empty() {
        String::new()
    } else {
        format!("[{}]", messages.join(", "))
    }
}

#[cfg(test)]
mod tests;
