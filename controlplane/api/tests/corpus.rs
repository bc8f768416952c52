//! Every file of `tests/corpus/<group>/<kind>/` says of objects of one kind what the API server answers, in
//! upstream's words, and how the kind's table shows them.
//!
//! A file has an object that is right (`base`) and cases, each a change of it:
//!
//! ```yaml
//! resource: networking.k8s.io/v1 ingressclasses
//! headers: Name | Controller | [Wide]     # of the table; those of `-o wide` in brackets
//! base: {…}
//! cases:
//! - claim: what the case shows
//!   set: {/spec/controller: nginx}        # by JSON pointer; `-` or the next index appends, null removes
//!   errors: ['spec.controller: …']        # all of them, in order; none where the object is accepted
//!   warnings: [...]
//!   stored: {/metadata/generation: 1}     # members of the object as it is stored; null is absent
//!   row: [...]                            # cells of its table, two minutes after its creation
//!   before: {/status/phase: Bound}        # changes what is stored, past all rules, before the rest
//! - claim: the same as an update of the base
//!   update: {/spec/controller: nginx}     # with `status: true`, or `part: approval`, by that subresource
//! ```
//!
//! Members are those of the version that the file names, whatever the stored form. A stored kind without a
//! corpus fails a test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a file that cannot be read fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use controlplane_api::rest::{self, Part};
use controlplane_api::strategy::{Context, UserInfo};
use controlplane_api::table::{self, Include};
use controlplane_api::{ApiError, Resource, Verb, kinds};
use serde::Deserialize;
use serde_json::{Value, json};

const CREATED: &str = "2026-01-01T00:00:00Z";
const SHOWN: &str = "2026-01-01T00:02:00Z";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    resource: String,
    headers: String,
    base: Value,
    cases: Vec<Case>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Case {
    claim: String,
    set: BTreeMap<String, Value>,
    before: BTreeMap<String, Value>,
    update: Option<BTreeMap<String, Value>>,
    status: bool,
    part: Option<String>,
    errors: Vec<String>,
    warnings: Vec<String>,
    stored: BTreeMap<String, Value>,
    row: Option<Value>,
}

#[test]
fn objects_are_refused_filled_in_and_shown_as_the_corpus_says() {
    let files = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus"));
    assert!(!files.is_empty(), "no corpus");
    let mut failures = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let file: File =
            serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        check(&file, &mut |claim, text| {
            failures.push(format!("{}: {claim}\n{text}", path.display()));
        });
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn every_kind_has_a_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let told: BTreeSet<String> = files(&folder)
        .iter()
        .map(|path| {
            let file: File = serde_yaml_ng::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            assert!(!file.cases.is_empty(), "{}: no cases", path.display());
            file.resource
        })
        .collect();
    let kinds = kinds::builtin();
    // Questions that are never stored are answered by the server, whose tests ask them.
    let names = kinds
        .iter()
        .filter(|kind| !kind.transient)
        .map(|kind| format!("{} {}", kind.api_version(), kind.plural));
    let missing: Vec<String> = names.filter(|name| !told.contains(name)).collect();
    assert_eq!(missing, Vec::<String>::new());
}

/// The YAML files below `folder`, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|name| name == "yaml") {
            found.insert(path);
        }
    }
    found.into_iter().collect()
}

fn check(file: &File, fail: &mut impl FnMut(&str, String)) {
    let resource = resource(&file.resource);
    let (wanted, found) = (&file.headers, headers(&resource));
    if found != *wanted {
        fail("headers", format!("  wanted {wanted}\n  got    {found}"));
    }
    for case in &file.cases {
        check_case(&resource, &file.base, case, &mut |text| fail(&case.claim, text));
    }
}

fn check_case(resource: &Resource, base: &Value, case: &Case, fail: &mut impl FnMut(String)) {
    let mut object = changed(base, &case.set);
    let mut answer = create(resource, &mut object);
    object = behind(resource, object, &case.before);
    if let Some(change) = &case.update {
        if let Err(error) = answer {
            return fail(format!("  the object before the update is refused: {error}"));
        }
        let old = object.clone();
        object = behind(resource, object, change);
        resource.from_storage(&mut object);
        default(resource, &mut object);
        resource.to_storage(&mut object);
        let part = match (&case.part, case.status) {
            (Some(name), _) => Part::Sub(name),
            (None, true) => Part::Status,
            (None, false) => Part::Main,
        };
        answer = rest::prepare_update(resource, part, &mut object, &old, &context());
    }
    compare(resource, &object, answer, case, fail);
}

/// The stored `object`, changed as if it were of the resource's own version.
fn behind(resource: &Resource, mut object: Value, changes: &BTreeMap<String, Value>) -> Value {
    if changes.is_empty() {
        return object;
    }
    resource.from_storage(&mut object);
    object = changed(&object, changes);
    resource.to_storage(&mut object);
    object
}

fn compare(
    resource: &Resource,
    object: &Value,
    answer: Result<Vec<String>, ApiError>,
    case: &Case,
    fail: &mut impl FnMut(String),
) {
    let (errors, warnings) = match answer {
        Ok(warnings) => (Vec::new(), warnings),
        Err(error) => (lines(&error), Vec::new()),
    };
    if errors != case.errors {
        fail(format!("  wanted {:#?}\n  got    {errors:#?}", case.errors));
    }
    if warnings != case.warnings {
        fail(format!("  wanted {:#?}\n  warned {warnings:#?}", case.warnings));
    }
    let mut served = object.clone();
    resource.from_storage(&mut served);
    for (pointer, wanted) in &case.stored {
        let found = served.pointer(pointer).cloned().unwrap_or_default();
        if found != *wanted {
            fail(format!("  {pointer}: wanted {wanted}\n  stored {found}"));
        }
    }
    if let Some(wanted) = &case.row {
        let shown = table::row(resource, object, SHOWN.parse().unwrap(), Include::None);
        if shown["cells"] != *wanted {
            fail(format!("  wanted {wanted}\n  shown  {}", shown["cells"]));
        }
    }
}

fn resource(text: &str) -> Resource {
    let (api_version, plural) = text.split_once(' ').expect("`group/version plural`");
    kinds::builtin()
        .into_iter()
        .find(|resource| resource.api_version() == api_version && resource.plural == plural)
        .unwrap_or_else(|| panic!("no kind {text}"))
}

fn headers(resource: &Resource) -> String {
    let shown = resource.columns.iter().map(|column| match column.priority {
        0 => column.name.to_string(),
        _ => format!("[{}]", column.name),
    });
    shown.collect::<Vec<_>>().join(" | ")
}

fn context() -> Context {
    let user = UserInfo {
        username: "ann".to_owned(),
        groups: vec!["system:authenticated".to_owned()],
        ..UserInfo::default()
    };
    Context {
        uid: "uid-1".to_owned(),
        ..Context::new(CREATED.parse().unwrap(), user)
    }
}

fn create(resource: &Resource, object: &mut Value) -> Result<Vec<String>, ApiError> {
    let kind = controlplane_schema::builtin()
        .kind(&resource.group, &resource.version, &resource.kind)
        .expect("every kind has a schema");
    let problems = kind.check(object);
    assert!(problems.is_empty(), "{problems:?}: {object:#}");
    assert_eq!(kind.unknown_fields(object), Vec::<String>::new(), "{object:#}");
    default(resource, object);
    resource.to_storage(object);
    if !resource.allows(Verb::Create) {
        return Ok(Vec::new());
    }
    let namespace = if resource.is_namespaced() { "default" } else { "" };
    rest::prepare_create(resource, object, namespace, &context())
}

fn default(resource: &Resource, object: &mut Value) {
    if let Some(kind) =
        controlplane_schema::builtin().kind(&resource.group, &resource.version, &resource.kind)
    {
        kind.prune(object);
        kind.default(object);
    }
}

/// The causes of a refusal, one a line, as `kubectl` lists them.
fn lines(error: &ApiError) -> Vec<String> {
    let causes = error.status().details.iter().flat_map(|details| &details.causes);
    let lines: Vec<String> = causes
        .map(|cause| format!("{}: {}", cause.field, cause.message))
        .collect();
    if lines.is_empty() {
        vec![error.to_string()]
    } else {
        lines
    }
}

/// `object` with values put at JSON pointers: what is missing on the way is made, null removes.
fn changed(object: &Value, changes: &BTreeMap<String, Value>) -> Value {
    let mut object = object.clone();
    for (pointer, value) in changes {
        put(&mut object, pointer, value.clone());
    }
    object
}

fn put(object: &mut Value, pointer: &str, value: Value) {
    let (parent, last) = pointer.rsplit_once('/').expect("a JSON pointer");
    let mut place = object;
    for part in parent.split('/').skip(1) {
        place = step(place, &unescaped(part));
    }
    let last = unescaped(last);
    match place {
        Value::Object(map) if value.is_null() => drop(map.remove(&last)),
        Value::Array(list) if value.is_null() => drop(list.remove(last.parse().unwrap())),
        place => *step(place, &last) = value,
    }
}

fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

fn step<'a>(place: &'a mut Value, part: &str) -> &'a mut Value {
    if place.is_null() {
        *place = if part == "-" { json!([]) } else { json!({}) };
    }
    if let Value::Array(list) = place {
        let index = part.parse().unwrap_or(list.len());
        if index == list.len() {
            list.push(Value::Null);
        }
        return &mut list[index];
    }
    place
        .as_object_mut()
        .unwrap_or_else(|| panic!("no object has {part}"))
        .entry(part)
        .or_insert(Value::Null)
}
