//! Numbers, names and types of the fields of Kubernetes' protobuf messages.
//!
//! `fields.txt` holds the facts: for each message a line with its name (group and Go type), then one
//! line a field with number, JSON name (`-` where the members are inlined) and type. The numbers are
//! those of the published `generated.proto` files of Kubernetes 1.36 (taken over from the `k8s-pb`
//! crate, 0.9), the JSON names those of the published schemas.

use std::collections::HashMap;
use std::sync::OnceLock;

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    /// JSON name; none where the members belong to the parent.
    pub(super) name: Option<&'static str>,
    pub(super) kind: Kind,
    pub(super) shape: Shape,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Bytes,
    Integer,
    Flag,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
    /// JSON, as bytes in a message of its own.
    Raw,
    /// A list of texts, as a message of its own.
    Texts,
    Message(&'static str),
}

/// How many values there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    List,
    /// From texts.
    Map,
}

type Message = HashMap<u64, Field>;

/// The fields of `message`, by number.
pub(super) fn message(name: &str) -> Option<&'static Message> {
    static TABLE: OnceLock<HashMap<&'static str, Message>> = OnceLock::new();
    TABLE.get_or_init(|| read(include_str!("fields.txt"))).get(name)
}

fn read(text: &'static str) -> HashMap<&'static str, Message> {
    let mut table: HashMap<&'static str, Message> = HashMap::new();
    let mut current = "";
    for line in text.lines() {
        match line.strip_prefix("  ") {
            None => {
                current = line;
                table.entry(current).or_default();
            }
            Some(line) => {
                if let Some((number, field)) = field(line) {
                    table.entry(current).or_default().insert(number, field);
                }
            }
        }
    }
    table
}

fn field(line: &'static str) -> Option<(u64, Field)> {
    let mut words = line.split(' ');
    let number = words.next()?.parse().ok()?;
    let name = Some(words.next()?).filter(|name| *name != "-");
    let kind = match words.next()? {
        "string" => Kind::Text,
        "bytes" => Kind::Bytes,
        "int32" | "int64" => Kind::Integer,
        "bool" => Kind::Flag,
        "time" => Kind::Time,
        "microtime" => Kind::MicroTime,
        "quantity" => Kind::Quantity,
        "intstr" => Kind::IntOrString,
        "raw" => Kind::Raw,
        "strings" => Kind::Texts,
        message => Kind::Message(message.strip_prefix('&')?),
    };
    let shape = match words.next() {
        None => Shape::One,
        Some("list") => Shape::List,
        Some("map") => Shape::Map,
        Some(_) => return None,
    };
    Some((number, Field { name, kind, shape }))
}

#[cfg(test)]
mod tests {
    use controlplane_api::Registry;

    use super::*;

    #[test]
    fn every_line_is_understood_and_every_message_named_is_there() {
        let text = include_str!("fields.txt");
        for line in text.lines().filter_map(|line| line.strip_prefix("  ")) {
            let (_, field) = field(line).unwrap_or_else(|| panic!("{line}"));
            if let Kind::Message(name) = field.kind {
                assert!(message(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn every_kind_served_has_its_message() {
        for resource in Registry::builtin().iter() {
            let name = super::super::message_name(&resource.api_version(), &resource.kind);
            assert!(message(&name).is_some(), "{name}");
        }
    }
}
