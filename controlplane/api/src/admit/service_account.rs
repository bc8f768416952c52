//! `ServiceAccount`: the account that a pod runs as, the volume by which its containers reach the API as that account, and
//! which secrets it may use.

use serde_json::{Map, Value, json};

use super::Refusal;
use crate::meta;
use crate::read;

/// The account of pods that name none, made in each namespace by a controller.
pub const DEFAULT: &str = "default";

/// How volumes with a token for the API are called, before a dash and what is drawn by lot.
const VOLUME: &str = "kube-api-access-";

/// Where in-cluster clients look for their token.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// For how long a token in such a volume is wished: an hour, and what tells it from other wishes for an hour. Its issuer
/// lets it live on, for clients that read it once.
pub const TOKEN_SECONDS: i64 = 60 * 60 + 7;

/// By which an account says that its pods use no secrets but those it lists.
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

/// The account that `pod` names, in either spelling.
#[must_use]
pub fn name(pod: &Value) -> &str {
    let spellings = ["spec.serviceAccountName", "spec.serviceAccount"].map(|path| read::text(pod, path));
    let named = spellings.into_iter().find(|name| !name.is_empty());
    named.unwrap_or(DEFAULT)
}

/// Gives a new pod its account: name, token and, where it has none of its own, secrets for pulling images. `suffix` ends
/// the name of the token's volume.
pub fn give(account: &Value, pod: &mut Value, suffix: &str) {
    let name = name(pod).to_owned();
    let mounts = wants_token(account, pod);
    let spec = meta::object_mut(meta::member_mut(pod, "spec"));
    spec.insert("serviceAccountName".to_owned(), name.into());
    if mounts {
        mount_token(spec, suffix);
    }
    let pulls = read::list(account, "imagePullSecrets");
    let own = spec.get("imagePullSecrets").and_then(Value::as_array);
    if !pulls.is_empty() && own.is_none_or(Vec::is_empty) {
        spec.insert("imagePullSecrets".to_owned(), pulls.into());
    }
}

/// What the pod says counts, then what its account says.
fn wants_token(account: &Value, pod: &Value) -> bool {
    let said = |object: &Value, path: &str| object.pointer(path).and_then(Value::as_bool);
    said(pod, "/spec/automountServiceAccountToken")
        .or_else(|| said(account, "/automountServiceAccountToken"))
        .unwrap_or(true)
}

/// Mounts a token in every container that has nothing at its place. A volume of its name is taken as it is: the pod is a
/// copy of another.
fn mount_token(spec: &mut Map<String, Value>, suffix: &str) {
    let volumes = spec.get("volumes").and_then(Value::as_array);
    let mut names = volumes
        .into_iter()
        .flatten()
        .map(|volume| read::text(volume, "name"));
    let copied = names.find(|name| name.starts_with(VOLUME)).map(str::to_owned);
    let is_new = copied.is_none();
    let name = copied.unwrap_or_else(|| format!("{VOLUME}{suffix}"));
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            mounted |= mount_into(container, &name);
        }
    }
    if mounted && is_new {
        push(
            spec,
            "volumes",
            json!({"name": name, "projected": token_source()}),
        );
    }
}

fn mount_into(container: &mut Value, volume: &str) -> bool {
    let mounts = read::list(container, "volumeMounts");
    if mounts
        .iter()
        .any(|mount| read::text(mount, "mountPath") == MOUNT_PATH)
    {
        return false;
    }
    let mount = json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH});
    push(meta::object_mut(container), "volumeMounts", mount);
    true
}

fn push(object: &mut Map<String, Value>, list: &str, item: Value) {
    let list = object.entry(list).or_insert(Value::Null);
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    list.as_array_mut()
        .into_iter()
        .for_each(|list| list.push(item.clone()));
}

fn token_source() -> Value {
    let namespace =
        json!({"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}});
    json!({
        "defaultMode": 0o644,
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
    })
}

/// Checks a pod that only mirrors one which its node found by itself: it runs as nobody.
///
/// # Errors
///
/// Where it refers to what only an account may have.
pub fn check_mirror(pod: &Value) -> Result<(), Refusal> {
    if !read::text(pod, "spec.serviceAccountName").is_empty() {
        return Err("a mirror pod may not reference service accounts".to_owned());
    }
    let parts = ["volumes", "initContainers", "containers", "ephemeralContainers"];
    let pulls = !read::list(pod, "spec.imagePullSecrets").is_empty();
    if pulls
        || parts
            .iter()
            .any(|part| names_secret(pod.pointer(&format!("/spec/{part}"))))
    {
        return Err("a mirror pod may not reference secrets".to_owned());
    }
    let mut sources = read::list(pod, "spec.volumes")
        .iter()
        .flat_map(|volume| read::list(volume, "projected.sources"));
    if sources.any(|source| read::present(source, "serviceAccountToken")) {
        return Err("a mirror pod may not use ServiceAccountToken volume projections".to_owned());
    }
    Ok(())
}

/// Whether any member at any depth is one by which a secret is named.
fn names_secret(value: Option<&Value>) -> bool {
    let members = [
        "secret",
        "secretName",
        "secretRef",
        "secretKeyRef",
        "nodePublishSecretRef",
    ];
    match value {
        Some(Value::Array(items)) => items.iter().any(|item| names_secret(Some(item))),
        Some(Value::Object(map)) => map.iter().any(|(member, value)| {
            members.contains(&member.as_str()) && !value.is_null() || names_secret(Some(value))
        }),
        _ => false,
    }
}

/// Checks which secrets a new pod uses, where its account lists those it may.
///
/// # Errors
///
/// With the first that it may not use.
pub fn check(account: &Value, pod: &Value) -> Result<(), Refusal> {
    if !is_strict(account) {
        return Ok(());
    }
    let listed = names(account, "secrets");
    for volume in read::list(pod, "spec.volumes") {
        let name = read::text(volume, "secret.secretName");
        if read::present(volume, "secret") && !listed.contains(&name) {
            return Err(refusal(
                &format!("volume with secret.secretName=\"{name}\""),
                "secret",
                account,
            ));
        }
    }
    check_variables(&listed, account, pod, "spec.initContainers", "init container")?;
    check_variables(&listed, account, pod, "spec.containers", "container")?;
    let lent = names(account, "imagePullSecrets");
    for (index, name) in names(pod, "spec.imagePullSecrets").iter().enumerate() {
        if !lent.contains(name) {
            let what = format!("imagePullSecrets[{index}].name=\"{name}\"");
            return Err(refusal(&what, "imagePullSecret", account));
        }
    }
    Ok(())
}

/// As [`check`], of the ephemeral containers alone.
///
/// # Errors
///
/// As [`check`].
pub fn check_ephemeral(account: &Value, pod: &Value) -> Result<(), Refusal> {
    if !is_strict(account) {
        return Ok(());
    }
    let listed = names(account, "secrets");
    check_variables(
        &listed,
        account,
        pod,
        "spec.ephemeralContainers",
        "ephemeral container",
    )
}

fn is_strict(account: &Value) -> bool {
    // As Go reads a truth.
    let value = meta::annotations(account)
        .get(ENFORCE)
        .cloned()
        .unwrap_or_default();
    matches!(value.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True")
}

fn names<'a>(object: &'a Value, path: &str) -> Vec<&'a str> {
    let references = read::list(object, path).iter();
    references
        .map(|reference| read::text(reference, "name"))
        .collect()
}

fn refusal(what: &str, kind: &str, account: &Value) -> Refusal {
    let name = meta::name(account);
    format!("{what} is not allowed because service account {name} does not reference that {kind}")
}

fn check_variables(
    listed: &[&str],
    account: &Value,
    pod: &Value,
    path: &str,
    word: &str,
) -> Result<(), Refusal> {
    for container in read::list(pod, path) {
        for variable in read::list(container, "env") {
            let name = read::text(variable, "valueFrom.secretKeyRef.name");
            if read::present(variable, "valueFrom.secretKeyRef") && !listed.contains(&name) {
                let what = format!(
                    "{word} {} with envVar {} referencing secret.secretName=\"{name}\"",
                    read::text(container, "name"),
                    read::text(variable, "name"),
                );
                return Err(refusal(&what, "secret", account));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
