//! What a request for a log may ask. Pure.
//!
//! Source: kubernetes, `pkg/apis/core/validation`, `ValidatePodLogOptions`.

use controlplane_api::ApiError;
use controlplane_api::field::{FieldError, Path};
use jiff::Timestamp;

use crate::request::query::Query;

/// Both outputs of a container.
const ALL: &str = "All";

/// What `stream` may be.
const STREAMS: [&str; 3] = [ALL, "Stderr", "Stdout"];

/// The times that Go reads.
const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";

/// Checks the query of a log of the pod `name`.
///
/// # Errors
///
/// 400 for what is no number, 422 for numbers out of range.
pub(super) fn check(name: &str, query: &Query) -> Result<(), ApiError> {
    let path = |name: &str| Path::new(name);
    let mut errors: Vec<FieldError> = Vec::new();
    if let Some(lines) = query.signed("tailLines")?.filter(|lines| *lines < 0) {
        errors.push(path("tailLines").invalid(lines, "must be greater than or equal to 0"));
    }
    if let Some(bytes) = query.signed("limitBytes")?.filter(|bytes| *bytes < 1) {
        errors.push(path("limitBytes").invalid(bytes, "must be greater than 0"));
    }
    let seconds = query.signed("sinceSeconds")?;
    // Nothing, and null, are no time; what comes after them does not count.
    let time = query
        .get("sinceTime")
        .filter(|time| !matches!(*time, "" | "null"));
    if let Some(time) = time
        && time.parse::<Timestamp>().is_err()
    {
        let why = format!("parsing time {time:?} as {LAYOUT:?}: not a time of that form");
        return Err(ApiError::bad_request(why));
    }
    match (seconds, time) {
        (Some(_), Some(_)) => {
            errors.push(path("").forbidden("at most one of `sinceTime` or `sinceSeconds` may be specified"));
        }
        (Some(seconds), None) if seconds < 1 => {
            errors.push(path("sinceSeconds").invalid(seconds, "must be greater than 0"));
        }
        _ => {}
    }
    let wanted = query.get("stream").filter(|wanted| !wanted.is_empty());
    if let Some(wanted) = wanted {
        if !STREAMS.contains(&wanted) {
            errors.push(path("stream").not_supported(wanted, &STREAMS));
        }
        if wanted != ALL && query.get("tailLines").is_some() {
            let why = "`tailLines` and specific `stream` are mutually exclusive for now";
            errors.push(path("").forbidden(why));
        }
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid("", "PodLogOptions", name, errors)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(query: &str) -> String {
        let query = Query::parse(&format!("/x?{query}").parse().unwrap()).unwrap();
        match check("web", &query) {
            Ok(()) => "fine".to_owned(),
            Err(error) => format!("{} {}", error.code(), error.status().message),
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_in_upstreams_words() {
        let table = [
            ("follow=true&tailLines=0&limitBytes=1&sinceSeconds=1", "fine"),
            (
                "tailLines=-1",
                "422 PodLogOptions \"web\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                "limitBytes=0",
                "422 PodLogOptions \"web\" is invalid: limitBytes: Invalid value: 0: must be greater than 0",
            ),
            (
                "sinceSeconds=0",
                "422 PodLogOptions \"web\" is invalid: sinceSeconds: Invalid value: 0: must be greater than 0",
            ),
            (
                "stream=stdout",
                "422 PodLogOptions \"web\" is invalid: stream: Unsupported value: \"stdout\": supported values: \"All\", \
                 \"Stderr\", \"Stdout\"",
            ),
            (
                "stream=Stderr&tailLines=1",
                "422 PodLogOptions \"web\" is invalid: : Forbidden: `tailLines` and specific `stream` are mutually exclusive \
                 for now",
            ),
            ("stream=All&tailLines=1", "fine"),
            ("stream=Stdout&sinceTime=2026-01-02T03:04:05Z", "fine"),
            (
                "sinceTime=yesterday",
                "400 parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\": not a time of that form",
            ),
        ];
        for (query, expected) in table {
            assert_eq!(told(query), expected, "{query}");
        }
        let both = told("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z");
        assert!(
            both.contains("at most one of `sinceTime` or `sinceSeconds` may be specified"),
            "{both}"
        );
        assert!(told("tailLines=x").starts_with("400 "));
    }
}
