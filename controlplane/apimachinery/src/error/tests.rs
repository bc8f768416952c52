use serde_json::json;

use super::*;
use crate::field::Path;

#[test]
fn one_mistake_is_listed_plain_with_its_cause() {
    let error = ApiError::invalid("", "Pod", "x", vec![Path::new("spec.containers").required("")]);
    assert_eq!(
        serde_json::to_value(error.status()).unwrap(),
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "Pod \"x\" is invalid: spec.containers: Required value",
            "reason": "Invalid",
            "details": {"name": "x", "kind": "Pod", "causes": [
                {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.containers"}]},
            "code": 422
        })
    );
}

#[test]
fn several_mistakes_are_bracketed_and_each_is_said_once() {
    let a = Path::new("spec.selector").required("");
    let b = Path::new("spec.template.metadata.labels").invalid(json!({"a": "b"}), "no match");
    let error = ApiError::invalid("apps", "Deployment", "web", vec![a.clone(), b, a]);
    assert_eq!(
        error.to_string(),
        "Deployment.apps \"web\" is invalid: [spec.selector: Required value, \
         spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: no match]"
    );
    assert_eq!(
        error
            .status()
            .details
            .as_ref()
            .map(|details| details.causes.len()),
        Some(3)
    );
}

type Case = (ApiError, u16, Reason, &'static str);

fn check(cases: impl IntoIterator<Item = Case>) {
    for (error, code, reason, message) in cases {
        assert_eq!(
            (error.code(), error.reason(), error.to_string().as_str()),
            (code, reason, message)
        );
    }
}

#[test]
fn refusals_of_what_was_asked_are_upstreams() {
    check([
        (
            ApiError::not_found("", "pods", "web"),
            404,
            Reason::NotFound,
            "pods \"web\" not found",
        ),
        (
            ApiError::not_found("apps", "deployments", "w"),
            404,
            Reason::NotFound,
            "deployments.apps \"w\" not found",
        ),
        (
            ApiError::already_exists("", "pods", "web"),
            409,
            Reason::AlreadyExists,
            "pods \"web\" already exists",
        ),
        (
            ApiError::modified("", "pods", "web"),
            409,
            Reason::Conflict,
            "Operation cannot be fulfilled on pods \"web\": the object has been modified; please apply your \
             changes to the latest version and try again",
        ),
        (ApiError::bad_request("no"), 400, Reason::BadRequest, "no"),
        (
            ApiError::unauthorized(),
            401,
            Reason::Unauthorized,
            "Unauthorized",
        ),
        (
            ApiError::forbidden("", "pods", "web", "why"),
            403,
            Reason::Forbidden,
            "pods \"web\" is forbidden: why",
        ),
        (
            ApiError::forbidden("", "pods", "", "why"),
            403,
            Reason::Forbidden,
            "pods is forbidden: why",
        ),
        (
            ApiError::forbidden("", "", "", "why"),
            403,
            Reason::Forbidden,
            "forbidden: why",
        ),
    ]);
}

#[test]
fn refusals_of_how_it_was_asked_are_upstreams() {
    check([
        (ApiError::expired("too old"), 410, Reason::Expired, "too old"),
        (ApiError::gone("x"), 410, Reason::Gone, "x"),
        (
            ApiError::method_not_supported("", "bindings", "get"),
            405,
            Reason::MethodNotAllowed,
            "get is not supported on resources of kind \"bindings\"",
        ),
        (
            ApiError::not_acceptable(&["application/json", "application/yaml"]),
            406,
            Reason::NotAcceptable,
            "only the following media types are accepted: application/json, application/yaml",
        ),
        (
            ApiError::unsupported_media_type(&["application/json"]),
            415,
            Reason::UnsupportedMediaType,
            "the body of the request was in an unknown format - accepted media types include: application/json",
        ),
        (
            ApiError::too_large("limit is 3145728"),
            413,
            Reason::RequestEntityTooLarge,
            "Request entity is too large: limit is 3145728",
        ),
        (
            ApiError::internal("disk"),
            500,
            Reason::InternalError,
            "Internal error occurred: disk",
        ),
        (ApiError::timeout("slow"), 504, Reason::Timeout, "Timeout: slow"),
        (
            ApiError::too_many_requests("wait", 1),
            429,
            Reason::TooManyRequests,
            "wait",
        ),
        (
            ApiError::service_unavailable("later"),
            503,
            Reason::ServiceUnavailable,
            "later",
        ),
    ]);
}
