//! From Go's types to the text of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};

use crate::go_types::{self, GoField, GoType, Sort, TypeId};
use crate::image::Image;

const HEADER: &str = "\
# Kubernetes' protobuf messages, made by protobuf-gen from the Go types of a client. Do not edit.
#
# [group/version]      the messages below belong to it; `group/version.Name` refers to them from others
# Name @               a kind, whose fields follow
# Name                 a message that is no kind, whose fields follow
#   number name type   `-` for a name: the members of this message belong to the object around it
#
# Types: string bytes bool int32 int64 time microtime quantity int-or-string raw (JSON), names (a list of
# strings in a message of its own), [list], {map from strings}, and names of messages.
# Before a type: `*` was sent only when it is set, so zeros count; `?` is always sent, and JSON leaves zeros out.
";

/// The package of what all groups share.
const META: &str = "k8s.io/apimachinery/pkg/apis/meta/v1";

/// The text of the table for the stable versions of all built-in groups.
pub(crate) fn generate(image: &Image<'_>) -> Result<String> {
    let known: BTreeMap<(String, String), TypeId> = go_types::structs(image)?
        .into_iter()
        .filter_map(|found| Some((found.name?, found.id)))
        .filter(|((package, _), _)| group_version(package).is_some())
        .collect();
    let mut messages = BTreeMap::new();
    let mut pending: Vec<TypeId> = Vec::new();
    for ((package, _), id) in &known {
        if is_kind(image, *id)? && (package != META || is_options(image, *id)?) {
            pending.push(*id);
        }
    }
    ensure!(!pending.is_empty(), "no kind of Kubernetes is among the types");
    let mut seen = BTreeSet::new();
    while let Some(id) = pending.pop() {
        if seen.insert(id) {
            let found = go_types::describe(image, id)?;
            let key = place(&found)?;
            let text = message(image, &found, &mut pending).with_context(|| format!("type {key:?}"))?;
            messages.insert(key, text);
        }
    }
    Ok(render(&messages))
}

fn render(messages: &BTreeMap<(String, String), String>) -> String {
    let mut out = String::from(HEADER);
    let mut current = "";
    for ((group, _), text) in messages {
        if group != current {
            out.push_str(&format!("\n[{group}]\n"));
            current = group;
        }
        out.push_str(text);
    }
    out
}

/// The API group and version of a package of stable types.
fn group_version(package: &str) -> Option<String> {
    if package == META {
        return Some("meta.k8s.io/v1".to_owned());
    }
    let (name, version) = package.strip_prefix("k8s.io/api/")?.split_once('/')?;
    let stable = version
        .strip_prefix('v')?
        .bytes()
        .all(|byte| byte.is_ascii_digit());
    let group = match name {
        "core" => return stable.then(|| version.to_owned()),
        "apps" | "autoscaling" | "batch" | "policy" => name.to_owned(),
        "flowcontrol" => "flowcontrol.apiserver.k8s.io".to_owned(),
        "rbac" => "rbac.authorization.k8s.io".to_owned(),
        // Sent by the API server, never to it.
        "admission" | "apidiscovery" | "imagepolicy" => return None,
        _ => format!("{name}.k8s.io"),
    };
    stable.then(|| format!("{group}/{version}"))
}

/// A message's group with version, and its name.
fn place(found: &GoType) -> Result<(String, String)> {
    let (package, name) = found.name.as_ref().context("a struct without a name")?;
    let group = group_version(package).with_context(|| format!("package {package} has no group"))?;
    Ok((group, name.clone()))
}

/// Whether a struct has `apiVersion` and `kind`.
fn is_kind(image: &Image<'_>, id: TypeId) -> Result<bool> {
    for field in go_types::fields(image, id)? {
        let inner = go_types::describe(image, field.of)?.name;
        if inner.is_some_and(|(package, name)| package == META && name == "TypeMeta") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a struct holds options of a request that are sent as a body.
fn is_options(image: &Image<'_>, id: TypeId) -> Result<bool> {
    let name = go_types::describe(image, id)?.name;
    Ok(name.is_some_and(|(_, name)| name == "DeleteOptions" || name == "Status"))
}

/// The lines of one message; what it refers to is added to `pending`.
fn message(image: &Image<'_>, found: &GoType, pending: &mut Vec<TypeId>) -> Result<String> {
    let (group, name) = place(found)?;
    let mark = if is_kind(image, found.id)? { " @" } else { "" };
    let mut lines = BTreeMap::new();
    for field in go_types::fields(image, found.id)? {
        if let Some((number, line)) = line(image, &field, &group, pending)? {
            ensure!(
                lines.insert(number, line).is_none(),
                "two fields of number {number}"
            );
        }
    }
    let mut out = format!("{name}{mark}\n");
    for (number, line) in lines {
        writeln!(out, "  {number} {line}")?;
    }
    Ok(out)
}

/// Number and text of a field; none for one that is not sent.
fn line(
    image: &Image<'_>,
    field: &GoField,
    group: &str,
    pending: &mut Vec<TypeId>,
) -> Result<Option<(u32, String)>> {
    let Some(protobuf) = tag(&field.tag, "protobuf").filter(|tag| *tag != "-") else {
        return Ok(None);
    };
    let number = protobuf
        .split(',')
        .nth(1)
        .context("a field without a number")?
        .parse()?;
    let (name, options) = tag(&field.tag, "json")
        .unwrap_or_default()
        .split_once(',')
        .unwrap_or((tag(&field.tag, "json").unwrap_or_default(), ""));
    let inlined = name.is_empty() && options == "inline";
    ensure!(inlined || !name.is_empty(), "field {number} has no JSON name");
    let (presence, of) = match go_types::describe(image, field.of)?.sort {
        Sort::Pointer(of) => ("*", of),
        _ if options.contains("omit") => ("?", field.of),
        _ => ("", field.of),
    };
    let text = shape(image, of, group, pending)?;
    // The sender leaves out what has no entries by itself.
    let presence = if text.starts_with(['[', '{']) {
        ""
    } else {
        presence
    };
    let name = if inlined { "-" } else { name };
    Ok(Some((number, format!("{name} {presence}{text}"))))
}

/// The value of one key of a Go field tag, such as `json:"name,omitempty"`.
fn tag<'a>(tag: &'a str, key: &str) -> Option<&'a str> {
    let start = tag.find(&format!("{key}:\""))?;
    tag.get(start..)?.split('"').nth(1)
}

/// The table's word for a type.
fn shape(image: &Image<'_>, id: TypeId, group: &str, pending: &mut Vec<TypeId>) -> Result<String> {
    let found = go_types::describe(image, id)?;
    Ok(match found.sort {
        Sort::Bool => "bool".to_owned(),
        Sort::Int32 => "int32".to_owned(),
        Sort::Int64 => "int64".to_owned(),
        Sort::Text => "string".to_owned(),
        Sort::Slice(of) => match go_types::describe(image, of)?.sort {
            Sort::Byte => "bytes".to_owned(),
            Sort::Text if found.name.is_some() => "names".to_owned(),
            _ => format!("[{}]", shape(image, of, group, pending)?),
        },
        Sort::Map(key, of) => {
            ensure!(
                go_types::describe(image, key)?.sort == Sort::Text,
                "a map with other keys than texts"
            );
            format!("{{{}}}", shape(image, of, group, pending)?)
        }
        Sort::Struct => reference(&found, group, pending)?,
        other @ (Sort::Byte | Sort::Pointer(_) | Sort::Other(_)) => bail!("a type of sort {other:?}"),
    })
}

/// The word for a struct: a type with a form of its own in JSON, or another message.
fn reference(found: &GoType, group: &str, pending: &mut Vec<TypeId>) -> Result<String> {
    let (package, name) = found.name.as_ref().context("a struct without a name")?;
    let special = match (
        package.rsplit_once("pkg/").map_or("", |(_, rest)| rest),
        name.as_str(),
    ) {
        ("apis/meta/v1", "Time") => Some("time"),
        ("apis/meta/v1", "MicroTime") => Some("microtime"),
        ("apis/meta/v1", "FieldsV1") | ("runtime", "RawExtension") => Some("raw"),
        ("api/resource", "Quantity") => Some("quantity"),
        ("util/intstr", "IntOrString") => Some("int-or-string"),
        _ => None,
    };
    if let Some(word) = special {
        return Ok(word.to_owned());
    }
    pending.push(found.id);
    let (of, name) = place(found)?;
    Ok(if of == group { name } else { format!("{of}.{name}") })
}
