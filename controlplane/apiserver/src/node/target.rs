//! Which agent a request goes to, and under which path.

use std::net::IpAddr;

use controlplane_api::{ApiError, meta};
use controlplane_store::Key;
use serde_json::Value;

use crate::call::Call;
use crate::reply::bug;
use crate::request::query::Query;

/// Port of an agent that does not say otherwise.
const DEFAULT_PORT: u16 = 10_250;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) node: String,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    pub(crate) path_and_query: String,
    /// Whether the connection is to be upgraded.
    pub(crate) upgrades: bool,
}

/// The target of a request for `subresource` of the pod that `call` names; `None` for the log of a pod
/// that has no node yet.
///
/// # Errors
///
/// 404 without pod or node, 400 for a container that is not there.
pub(crate) fn find(call: &Call, subresource: &str) -> Result<Option<Target>, ApiError> {
    let entry = call.entry()?;
    let pod = entry
        .value
        .to_json(entry.mod_revision)
        .map_err(|error| bug("read a stored pod", &error))?;
    let path = path(call, subresource, &pod)?;
    let node = pod
        .get("spec")
        .and_then(|spec| spec.get("nodeName"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    if node.is_empty() {
        return match subresource {
            "log" => Ok(None),
            _ => Err(ApiError::bad_request(format!(
                "pod {} does not have a host assigned",
                call.name()
            ))),
        };
    }
    let (address, port) = endpoint(call, node)?;
    let query = translated(subresource, &call.query);
    let path_and_query = if query.is_empty() {
        path
    } else {
        format!("{path}?{query}")
    };
    Ok(Some(Target {
        node: node.to_owned(),
        address,
        port,
        path_and_query,
        upgrades: subresource != "log",
    }))
}

fn path(call: &Call, subresource: &str, pod: &Value) -> Result<String, ApiError> {
    let (namespace, name) = (call.namespace(), meta::name(pod));
    Ok(match subresource {
        "portforward" => format!("/portForward/{namespace}/{name}"),
        "log" => format!("/containerLogs/{namespace}/{name}/{}", container(call, pod)?),
        "exec" => format!("/exec/{namespace}/{name}/{}", container(call, pod)?),
        "attach" => format!("/attach/{namespace}/{name}/{}", container(call, pod)?),
        _ => return Err(ApiError::no_such_path()),
    })
}

/// The container that is asked for, or the only one.
fn container<'a>(call: &'a Call, pod: &'a Value) -> Result<&'a str, ApiError> {
    let of = |list: &str| -> Vec<&'a str> {
        let list = pod
            .get("spec")
            .and_then(|spec| spec.get(list))
            .and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(|one| one.get("name")?.as_str())
            .collect()
    };
    let (main, init, extra) = (of("containers"), of("initContainers"), of("ephemeralContainers"));
    let pod_name = call.name();
    if let Some(asked) = call.query.get("container") {
        let known = main.iter().chain(&init).chain(&extra).any(|name| *name == asked);
        return if known {
            Ok(asked)
        } else {
            Err(ApiError::bad_request(format!(
                "container {asked} is not valid for pod {pod_name}"
            )))
        };
    }
    if let ([only], true, true) = (main.as_slice(), init.is_empty(), extra.is_empty()) {
        return Ok(only);
    }
    let mut message = format!(
        "a container name must be specified for pod {pod_name}, choose one of: [{}]",
        main.join(" ")
    );
    for (what, names) in [("init containers", init), ("ephemeral containers", extra)] {
        if !names.is_empty() {
            message.push_str(&format!(" or one of the {what}: [{}]", names.join(" ")));
        }
    }
    Err(ApiError::bad_request(message))
}

/// Address and port of a node's agent, from its status.
///
/// # Errors
///
/// 404 without the node, 503 where it has not told its address.
pub(crate) fn endpoint(call: &Call, node: &str) -> Result<(IpAddr, u16), ApiError> {
    let missing = || ApiError::not_found("", "nodes", node);
    let key = Key::parse(&format!("{}nodes/{node}", Key::ROOT)).map_err(|_| missing())?;
    let entry = call.store().get(&key).ok_or_else(missing)?;
    let object: Value =
        serde_json::from_slice(entry.value.bytes()).map_err(|error| bug("read a stored node", &error))?;
    let status = object.get("status");
    let addresses = status
        .and_then(|status| status.get("addresses"))
        .and_then(Value::as_array);
    let address = addresses
        .into_iter()
        .flatten()
        .filter(|address| address.get("type").and_then(Value::as_str) == Some("InternalIP"))
        .find_map(|address| address.get("address")?.as_str()?.parse().ok())
        .ok_or_else(|| ApiError::service_unavailable(format!("node {node} has not told its address yet")))?;
    let port = status
        .and_then(|status| {
            status
                .get("daemonEndpoints")?
                .get("kubeletEndpoint")?
                .get("Port")?
                .as_u64()
        })
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0)
        .unwrap_or(DEFAULT_PORT);
    Ok((address, port))
}

/// The query in the agent's words.
fn translated(subresource: &str, query: &Query) -> String {
    let streams = matches!(subresource, "exec" | "attach");
    let mut out: Vec<String> = Vec::new();
    for (name, value) in query.pairs() {
        let name = match (streams, name.as_str()) {
            (_, "container") => continue,
            (true, "stdin") => "input",
            (true, "stdout") => "output",
            (true, "stderr") => "error",
            (false, "ports") => "port",
            (_, name) => name,
        };
        let value = match (streams, value.as_str()) {
            (true, "true") if name != "command" => "1",
            (true, "false") if name != "command" => continue,
            (_, value) => value,
        };
        out.push(format!("{}={}", encode(name), encode(value)));
    }
    out.join("&")
}

/// Percent-encodes all but unreserved characters (RFC 3986, section 2.3).
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_an_exec_is_put_into_the_agents_words() {
        let uri = "/x?command=sh&command=-c&command=echo%20a%26b&stdin=true&stdout=true&stderr=false&tty=true&container=c";
        let query = Query::parse(&uri.parse().unwrap()).unwrap();
        let expected = "command=sh&command=-c&command=echo%20a%26b&input=1&output=1&tty=1";
        assert_eq!(translated("exec", &query), expected);
    }

    #[test]
    fn a_command_called_true_stays_what_it_is() {
        let query = Query::parse(&"/x?command=true&stdout=true".parse().unwrap()).unwrap();
        assert_eq!(translated("exec", &query), "command=true&output=1");
    }
}
