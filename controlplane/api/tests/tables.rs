//! Every file of `tests/tables/` says of kinds which columns their tables have, and of objects how a row shows
//! them: an account of its own of what upstream's printers do, which our tables must agree with.
//!
//! A column is `[name, type, format, priority, description]`; `NAME` and `CREATED` stand for the descriptions of
//! those two metadata fields. Objects are in their stored form, and shown two minutes after
//! `2026-01-01T00:00:00Z`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a file that cannot be read fails the test"
)]

use std::collections::BTreeSet;
use std::path::Path;

use controlplane_api::table::{self, Include};
use controlplane_api::{Resource, kinds};
use serde::Deserialize;
use serde_json::{Value, json};

const SHOWN: &str = "2026-01-01T00:02:00Z";

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some \
    resources may allow a client to request the generation of an appropriate name automatically. Name is primarily \
    intended for creation idempotence and configuration definition. Cannot be updated. More info: \
    https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It \
    is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It \
    is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
    https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    kind: String,
    columns: Vec<(String, String, String, i64, String)>,
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    claim: String,
    object: Value,
    cells: Value,
    #[serde(default)]
    conditions: Value,
}

#[test]
fn tables_have_the_columns_and_the_cells_that_the_list_says() {
    let mut failures = Vec::new();
    let mut told = BTreeSet::new();
    for kind in listed() {
        assert!(!kind.rows.is_empty(), "{}: no rows", kind.kind);
        let resource = resource(&kind.kind);
        let wanted: Vec<Value> = kind.columns.iter().map(definition).collect();
        for (found, wanted) in pairs(&table::definitions(&resource), &wanted) {
            if found != wanted {
                failures.push(format!(
                    "{}: column\n  wanted {wanted}\n  found  {found}",
                    kind.kind
                ));
            }
        }
        for row in &kind.rows {
            failures.extend(differences(&resource, row).map(|text| format!("{}: {text}", kind.kind)));
        }
        told.insert(kind.kind);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    let missing: Vec<String> = names().filter(|name| !told.contains(name)).collect();
    assert_eq!(
        missing,
        Vec::<String>::new(),
        "kinds of which no list says anything"
    );
}

/// Every kind that is stored, by version and plural.
fn names() -> impl Iterator<Item = String> {
    let stored = kinds::builtin().into_iter().filter(|kind| !kind.transient);
    stored.map(|kind| format!("{} {}", kind.api_version(), kind.plural))
}

fn listed() -> Vec<Kind> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tables");
    let files = std::fs::read_dir(folder).unwrap();
    let mut kinds = Vec::new();
    for file in files {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let found: Vec<Kind> =
            serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        kinds.extend(found);
    }
    kinds
}

fn resource(name: &str) -> Resource {
    let (api_version, plural) = name.split_once(' ').expect("`group/version plural`");
    kinds::builtin()
        .into_iter()
        .find(|resource| resource.api_version() == api_version && resource.plural == plural)
        .unwrap_or_else(|| panic!("no kind {name}"))
}

fn definition((name, type_name, format, priority, help): &(String, String, String, i64, String)) -> Value {
    let description = match help.as_str() {
        "NAME" => NAME,
        "CREATED" => CREATED,
        help => help,
    };
    json!({
        "name": name, "type": type_name, "format": format, "priority": priority, "description": description,
    })
}

/// The elements of both lists side by side, null where one is shorter.
fn pairs(left: &[Value], right: &[Value]) -> Vec<(Value, Value)> {
    let at = |list: &[Value], index| list.get(index).cloned().unwrap_or_default();
    (0..left.len().max(right.len()))
        .map(|index| (at(left, index), at(right, index)))
        .collect()
}

fn differences(resource: &Resource, row: &Row) -> impl Iterator<Item = String> {
    let shown = table::row(resource, &row.object, SHOWN.parse().unwrap(), Include::None);
    let of = |field: &str| shown.get(field).cloned().unwrap_or_default();
    let both = [(of("cells"), &row.cells), (of("conditions"), &row.conditions)];
    let texts: Vec<String> = both
        .into_iter()
        .filter(|(found, wanted)| found != *wanted)
        .map(|(found, wanted)| format!("{}\n  wanted {wanted}\n  shown  {found}", row.claim))
        .collect();
    texts.into_iter()
}
