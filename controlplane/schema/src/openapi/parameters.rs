//! Parameters of the operations.

use serde_json::{Value, json};

/// The parameters that an operation with this HTTP method takes.
pub(super) fn of(method: Method) -> Vec<Value> {
    let names: &[&str] = match method {
        Method::Get => &[],
        Method::Post | Method::Put => &["dryRun", "fieldManager", "fieldValidation"],
        Method::Patch => &["dryRun", "fieldManager", "fieldValidation", "force"],
        Method::Delete => &[
            "dryRun",
            "gracePeriodSeconds",
            "orphanDependents",
            "propagationPolicy",
        ],
        Method::List => LIST,
        Method::DeleteCollection => DELETE_COLLECTION,
    };
    names.iter().map(|name| query(name)).collect()
}

const LIST: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];

const DELETE_COLLECTION: &[&str] = &[
    "continue",
    "dryRun",
    "fieldSelector",
    "gracePeriodSeconds",
    "labelSelector",
    "limit",
    "orphanDependents",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
];

/// Whether a subresource with bodies of `kind` is a stream to a node rather than something read or written.
pub(super) fn connects(kind: &str) -> bool {
    kind != "PodLogOptions" && names_of_options(kind).is_some()
}

/// The parameters of a subresource that is told by its query what to do, such as `exec`; none for others.
pub(super) fn of_options(kind: &str) -> Option<Vec<Value>> {
    Some(names_of_options(kind)?.iter().map(|name| query(name)).collect())
}

fn names_of_options(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "PodLogOptions" => &[
            "container",
            "follow",
            "insecureSkipTLSVerifyBackend",
            "limitBytes",
            "previous",
            "sinceSeconds",
            "stream",
            "tailLines",
            "timestamps",
        ],
        "PodExecOptions" => &["command", "container", "stderr", "stdin", "stdout", "tty"],
        "PodAttachOptions" => &["container", "stderr", "stdin", "stdout", "tty"],
        "PodPortForwardOptions" => &["ports"],
        "PodProxyOptions" | "ServiceProxyOptions" | "NodeProxyOptions" => &["path"],
        _ => return None,
    })
}

/// What can be done to a resource; each is one operation of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    List,
    Post,
    Put,
    Patch,
    Delete,
    DeleteCollection,
}

/// A parameter in the query.
pub(super) fn query(name: &str) -> Value {
    let kind = match name {
        "limit" | "timeoutSeconds" | "gracePeriodSeconds" | "limitBytes" | "sinceSeconds" | "tailLines"
        | "ports" => "integer",
        "allowWatchBookmarks" | "sendInitialEvents" | "watch" | "orphanDependents" | "force" => "boolean",
        "follow" | "insecureSkipTLSVerifyBackend" | "previous" | "timestamps" => "boolean",
        "stderr" | "stdin" | "stdout" | "tty" => "boolean",
        _ => "string",
    };
    json!({ "name": name, "in": "query", "schema": { "type": kind, "uniqueItems": true } })
}

/// A parameter in the path.
pub(super) fn path(name: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "uniqueItems": true } })
}
