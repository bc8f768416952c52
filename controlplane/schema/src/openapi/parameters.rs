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
    json!({
        "name": name, "in": "query", "description": about(name),
        "schema": { "type": kind, "uniqueItems": true },
    })
}

/// A parameter in the path.
pub(super) fn path(name: &str) -> Value {
    let text = match name {
        "namespace" => "object name and auth scope, such as for teams and projects",
        _ => "name of the object",
    };
    json!({
        "name": name, "in": "path", "required": true, "description": text,
        "schema": { "type": "string", "uniqueItems": true },
    })
}

/// What a parameter of the query is for.
fn about(name: &str) -> &'static str {
    ABOUT
        .iter()
        .find(|(known, _)| *known == name)
        .map_or("", |(_, text)| text)
}

const ABOUT: &[(&str, &str)] = &[
    (
        "allowWatchBookmarks",
        "Asks for BOOKMARK events, which tell a resource version from which the watch can be resumed.",
    ),
    (
        "command",
        "The command to run, and with each further value an argument; no shell is started.",
    ),
    ("container", "The container; needed where the pod has several."),
    (
        "continue",
        "The token from the previous page of this list, with the same other parameters. Where it is too old the server answers 410, with another token that leads on over the newest state.",
    ),
    (
        "dryRun",
        "With the value All the request passes every stage, and nothing is stored.",
    ),
    (
        "fieldManager",
        "Name of the program or person that makes the change, at most 128 printable characters; needed for an apply.",
    ),
    (
        "fieldSelector",
        "Restricts the objects to those whose fields fit, such as metadata.name=web or status.phase!=Running.",
    ),
    (
        "fieldValidation",
        "What is done about fields that are unknown or occur twice: Ignore drops them, Warn (the default) also sends a warning for each, Strict refuses the request.",
    ),
    ("follow", "Goes on with what the container writes from now on."),
    (
        "force",
        "Lets an apply take over fields that others own; only for an apply.",
    ),
    (
        "gracePeriodSeconds",
        "Seconds until the object goes; zero at once. Without it the kind's own time counts.",
    ),
    (
        "insecureSkipTLSVerifyBackend",
        "Takes logs from a node whose serving certificate cannot be verified.",
    ),
    (
        "labelSelector",
        "Restricts the objects to those whose labels fit, such as app=web,tier in (a,b).",
    ),
    (
        "limit",
        "The most objects that one page has; the next is asked for with its continue token.",
    ),
    ("limitBytes", "The most bytes of the log that are sent."),
    (
        "orphanDependents",
        "Deprecated: use propagationPolicy. Whether objects that this one owns stay.",
    ),
    ("path", "Path to ask for behind the proxy."),
    ("ports", "Ports to forward."),
    ("pretty", "With true the answer is indented."),
    (
        "previous",
        "Shows the log of the container before the present one.",
    ),
    (
        "propagationPolicy",
        "What becomes of objects that this one owns: Orphan leaves them, Background deletes them afterwards, Foreground before.",
    ),
    (
        "resourceVersion",
        "Which state is wanted; resourceVersionMatch says how it is meant. Without it the newest.",
    ),
    (
        "resourceVersionMatch",
        "How resourceVersion is meant: NotOlderThan or Exact.",
    ),
    (
        "sendInitialEvents",
        "Begins a watch with an ADDED event for each object that is there and, where allowWatchBookmarks is set, a BOOKMARK with the annotation k8s.io/initial-events-end.",
    ),
    (
        "sinceSeconds",
        "Shows what was written in the last so many seconds.",
    ),
    ("stderr", "Connects the standard error stream."),
    ("stdin", "Connects the standard input stream."),
    ("stdout", "Connects the standard output stream."),
    (
        "stream",
        "Which of the container's streams is shown: All, Stdout or Stderr.",
    ),
    ("tailLines", "Shows the last so many lines."),
    (
        "timeoutSeconds",
        "Seconds after which a list or watch ends, whatever goes on.",
    ),
    (
        "timestamps",
        "Begins each line with the time at which it was written.",
    ),
    ("tty", "Makes the streams a terminal."),
    ("watch", "Answers with a stream of changes instead of a list."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_says_what_it_is_for() {
        let methods = [
            Method::Get,
            Method::List,
            Method::Post,
            Method::Put,
            Method::Patch,
            Method::Delete,
            Method::DeleteCollection,
        ];
        let kinds = [
            "PodLogOptions",
            "PodExecOptions",
            "PodAttachOptions",
            "PodPortForwardOptions",
            "PodProxyOptions",
        ];
        let of_kinds = kinds.into_iter().filter_map(of_options).flatten();
        for parameter in methods.into_iter().flat_map(of).chain(of_kinds) {
            assert!(
                parameter["description"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{parameter}"
            );
        }
    }
}
