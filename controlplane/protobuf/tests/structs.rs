//! The objects that are always there, in the table of defaults, are the messages that Go has as structs.

#![expect(clippy::panic, reason = "a line that cannot be read fails the test")]

use std::collections::BTreeSet;

/// Messages of which no schema is published, as no kind holds them.
const UNPUBLISHED: [&str; 4] = [
    "core.v1.PodStatusResult",
    "core.v1.RangeAllocation",
    "core.v1.SerializedReference",
    "meta.v1.PartialObjectMetadata",
];

#[test]
fn every_struct_that_is_no_pointer_in_go_is_filled_in() {
    let wanted: BTreeSet<String> = messages(include_str!("../kubernetes.table"))
        .chain(messages(include_str!("../by-hand.table")))
        .filter(|field| !UNPUBLISHED.iter().any(|message| field.starts_with(message)))
        .collect();
    let found: BTreeSet<String> = filled_in(include_str!("../../schema/structs.table")).collect();
    let missing: Vec<_> = wanted.difference(&found).collect();
    let invented: Vec<_> = found.difference(&wanted).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "missing {missing:?}, invented {invented:?}"
    );
    assert!(found.len() > 150, "{}", found.len());
}

/// `core.v1.Pod.spec`: of a table of messages, the fields that are one message and no pointer.
fn messages(table: &str) -> impl Iterator<Item = String> {
    let (mut package, mut owner) = (String::new(), String::new());
    let lines = table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(move |line| {
        if let Some(group) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            package = self::package(group);
        } else if let Some(field) = line.strip_prefix("  ") {
            let parts: Vec<&str> = field.split(' ').collect();
            let [_, name, shape] = parts[..] else {
                panic!("{line}")
            };
            let message = shape.trim_start_matches('?');
            let short = message.rsplit('.').next().unwrap_or(message);
            let is_one = !shape.starts_with(['*', '[', '{']);
            let is_message = is_one && short.starts_with(char::is_uppercase) && short != "ListMeta";
            return (is_message && name != "-").then(|| format!("{package}.{owner}.{name}"));
        } else {
            let name = line.split(' ').next().unwrap_or(line);
            // In Go, and on the wire, a part of it that JSON does not show.
            owner = name.strip_suffix("Common").unwrap_or(name).to_owned();
        }
        None
    })
}

fn filled_in(table: &str) -> impl Iterator<Item = String> {
    let mut package = String::new();
    let lines = table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.flat_map(move |line| {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let parts: Vec<&str> = name.rsplit('.').take(2).collect();
            let [version, group] = parts[..] else {
                panic!("{line}")
            };
            package = format!("{group}.{version}");
            return Vec::new();
        }
        let (owner, fields) = line.split_once(": ").unwrap_or_else(|| panic!("{line}"));
        let fields = fields.split(' ');
        fields.map(|field| format!("{package}.{owner}.{field}")).collect()
    })
}

/// The package of a group and version: its first part and the version; core has no group.
fn package(group: &str) -> String {
    match group.split_once('/') {
        None => format!("core.{group}"),
        Some((group, version)) => {
            let short = group.split('.').next().unwrap_or(group);
            format!("{short}.{version}")
        }
    }
}
