//! What a node's certificate may do: read what a kubelet needs, write only what is its own.

use controlplane_api::UserInfo;
use controlplane_store::{Key, Range, Store};
use memchr::memmem::Finder;
use serde_json::Value;

use crate::auth::authorize::{Attributes, in_group};

const PREFIX: &str = "system:node:";

/// The node whose certificate `user` showed.
pub(crate) fn name(user: &UserInfo) -> Option<&str> {
    in_group(user, "system:nodes")
        .then(|| user.username.strip_prefix(PREFIX))
        .flatten()
        .filter(|node| !node.is_empty())
}

/// What the decision needs to know of the cluster.
pub(crate) trait Facts {
    /// Whether the pod is bound to `node`; none where there is no such pod.
    fn is_on(&self, node: &str, namespace: &str, pod: &str) -> Option<bool>;
    /// Whether a pod bound to `node` refers to the object.
    fn refers(&self, node: &str, plural: &str, namespace: &str, name: &str) -> bool;
}

/// Whether the node may do this.
pub(crate) fn allows(facts: &impl Facts, node: &str, asked: &Attributes<'_>) -> bool {
    let reading = matches!(asked.verb, "get" | "list" | "watch");
    let namespace = asked.path.namespace.as_deref().unwrap_or_default();
    let own = asked.path.name.as_deref() == Some(node);
    match asked.what().as_str() {
        "/services" | "/endpoints" | "discovery.k8s.io/endpointslices" | "/namespaces" => reading,
        // The network between nodes is made from all Node objects, so every node reads them.
        "/nodes" if reading => true,
        // The name in the body of a create is checked when it is known: `restrict`.
        "/nodes" => asked.verb == "create" || own && matches!(asked.verb, "update" | "patch"),
        "/nodes/status" => own && matches!(asked.verb, "get" | "update" | "patch"),
        "coordination.k8s.io/leases" if namespace == "kube-node-lease" => match asked.verb {
            "create" => true,
            verb => own && matches!(verb, "get" | "update" | "patch" | "delete"),
        },
        "certificates.k8s.io/certificatesigningrequests" => reading || asked.verb == "create",
        "/events" | "events.k8s.io/events" => matches!(asked.verb, "create" | "update" | "patch"),
        "/pods" => match asked.verb {
            "get" | "delete" => own_pod(facts, node, asked),
            "list" | "watch" => asked.selected_node.as_deref() == Some(node),
            _ => false,
        },
        "/pods/eviction" => asked.verb == "create" && own_pod(facts, node, asked),
        "/pods/status" => matches!(asked.verb, "get" | "update" | "patch") && own_pod(facts, node, asked),
        "/secrets" | "/configmaps" => reading && referred(facts, node, asked),
        // A node lets the server say who asks it for something, and whether they may.
        "authentication.k8s.io/tokenreviews"
        | "authorization.k8s.io/subjectaccessreviews"
        | "authorization.k8s.io/localsubjectaccessreviews" => asked.verb == "create",
        "/serviceaccounts/token" => asked.verb == "create" && referred(facts, node, asked),
        "/serviceaccounts" => asked.verb == "get" && referred(facts, node, asked),
        _ => false,
    }
}

/// A pod that is not there may be asked for: the answer is 404 and nothing is learnt or changed.
fn own_pod(facts: &impl Facts, node: &str, asked: &Attributes<'_>) -> bool {
    match (&asked.path.namespace, &asked.path.name) {
        (Some(namespace), Some(pod)) => facts.is_on(node, namespace, pod).unwrap_or(true),
        _ => false,
    }
}

fn referred(facts: &impl Facts, node: &str, asked: &Attributes<'_>) -> bool {
    match (&asked.path.namespace, asked.name()) {
        (Some(namespace), Some(name)) => facts.refers(node, &asked.path.plural, namespace, name),
        _ => false,
    }
}

/// The facts as the store has them now.
#[derive(Debug)]
pub(crate) struct StoreFacts<'a>(&'a Store);

impl<'a> StoreFacts<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self(store)
    }
}

impl Facts for StoreFacts<'_> {
    fn is_on(&self, node: &str, namespace: &str, pod: &str) -> Option<bool> {
        let key = Key::parse(&format!("{}pods/{namespace}/{pod}", Key::ROOT)).ok()?;
        let entry = self.0.get(&key)?;
        let pod: Value = serde_json::from_slice(entry.value.bytes()).ok()?;
        Some(node_of(&pod) == Some(node))
    }

    fn refers(&self, node: &str, plural: &str, namespace: &str, name: &str) -> bool {
        let range = Range::prefix(format!("{}pods/{namespace}/", Key::ROOT));
        let Ok(pods) = self.0.list(&range) else {
            return false;
        };
        // Most pods are sifted out by their bytes, before anything is parsed; nearly every pod names the default
        // account and the certificate of the cluster, so those of other nodes go first.
        let quoted = [node, name].map(|text| format!("\"{text}\""));
        let marks = quoted.each_ref().map(Finder::new);
        let holds = |bytes: &[u8]| marks.iter().all(|mark| mark.find(bytes).is_some());
        pods.entries
            .iter()
            .filter(|entry| holds(entry.value.bytes()))
            .filter_map(|entry| serde_json::from_slice::<Value>(entry.value.bytes()).ok())
            .any(|pod| node_of(&pod) == Some(node) && mentions(pod.get("spec"), plural, name))
    }
}

fn node_of(pod: &Value) -> Option<&str> {
    pod.get("spec")?.get("nodeName")?.as_str()
}

/// Whether a pod's spec names the object in one of the fields by which a kubelet reaches it.
fn mentions(spec: Option<&Value>, plural: &str, name: &str) -> bool {
    let Some(spec) = spec else { return false };
    let is = |value: Option<&Value>| value.and_then(Value::as_str) == Some(name);
    match plural {
        "serviceaccounts" => is(spec.get("serviceAccountName")),
        "configmaps" => reference(
            spec,
            &["configMap", "configMapRef", "configMapKeyRef"],
            &["name"],
            name,
        ),
        "secrets" => {
            let pulls = spec.get("imagePullSecrets").and_then(Value::as_array);
            pulls.into_iter().flatten().any(|pull| is(pull.get("name")))
                || reference(
                    spec,
                    &["secret", "secretRef", "secretKeyRef"],
                    &["name", "secretName"],
                    name,
                )
        }
        _ => false,
    }
}

/// Whether any member called one of `members`, at any depth, has one of `fields` equal to `name`.
fn reference(value: &Value, members: &[&str], fields: &[&str], name: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| reference(item, members, fields, name)),
        Value::Object(map) => map.iter().any(|(member, value)| {
            let named = |field: &&str| value.get(field).and_then(Value::as_str) == Some(name);
            members.contains(&member.as_str()) && fields.iter().any(named)
                || reference(value, members, fields, name)
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
