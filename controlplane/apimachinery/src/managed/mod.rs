//! Who owns which fields of an object, and server-side apply.
//!
//! Follows `k8s.io/apimachinery/pkg/util/managedfields` and `structured-merge-diff`: every create, update and patch
//! gives the fields that it changes to its manager ([`Writer::update`]); an apply ([`Writer::apply`]) says what a
//! manager wants, conflicts where others own what it wants otherwise, and takes out what it no longer wants and nobody
//! else owns. All of it is pure. Fields are owned as the schema table says: objects by field, maps by entry, lists that
//! are sets by value and those that are maps by key, everything atomic as one.
//!
//! Work and memory are linear in the objects and in the sets, but for sorting keys; recursion follows the nesting of
//! objects, which the JSON parser bounds at 128.

mod apply;
mod client_side;
mod collect;
mod compare;
mod conflict;
mod element;
mod entry;
mod form;
mod merge;
mod set;

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::Value;

pub use collect::{Mistake, Mistakes};
pub use compare::Comparison;
pub use conflict::{ApplyError, Conflict};
pub use entry::{Entry, EntryError, Managed, Operation};
pub use set::{FieldSet, FieldSetError};

use crate::meta;
use crate::schema::TypeRef;
use crate::time;

/// Longest name of a manager, in bytes.
pub const MANAGER_MAX: usize = 128;

/// Metadata that nobody owns.
const NOBODYS: [&str; 9] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// The other versions in which a group serves a kind.
pub trait Versions {
    /// The object, which is in the writer's version, in another one, with its type there; `None` for a version that is
    /// not served.
    fn view(&self, object: &Value, api_version: &str) -> Option<(Value, TypeRef<'_>)>;

    /// The object, which is in `api_version`, in the writer's version.
    fn restore(&self, object: Value, api_version: &str) -> Option<Value>;
}

/// A kind that is served in one version only.
#[derive(Debug, Clone, Copy, Default)]
pub struct OneVersion;

impl Versions for OneVersion {
    fn view(&self, _: &Value, _: &str) -> Option<(Value, TypeRef<'_>)> {
        None
    }

    fn restore(&self, _: Value, _: &str) -> Option<Value> {
        None
    }
}

/// One write: who makes it, in which version, through which path, when.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    /// The kind's type in the version of the request.
    pub schema: TypeRef<'a>,
    /// Its other versions.
    pub versions: &'a dyn Versions,
    /// The version of the request: `apps/v1`.
    pub api_version: &'a str,
    /// Name of the manager.
    pub manager: &'a str,
    /// The subresource, empty for the object itself.
    pub subresource: &'a str,
    /// Fields that this path does not change, so that nobody comes to own them by it.
    pub reset: &'a FieldSet,
    /// The server's time.
    pub now: Timestamp,
}

impl std::fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("api_version", &self.api_version)
            .field("manager", &self.manager)
            .field("subresource", &self.subresource)
            .finish_non_exhaustive()
    }
}

impl Writer<'_> {
    /// Says in `new` who owns its fields, after a create (`live` is none) or an update.
    ///
    /// A client may set `managedFields` itself (`[{}]` forgets all owners), though not through a subresource; what
    /// cannot be read counts as left out. An object whose owners were forgotten is not tracked again until the first
    /// apply.
    pub fn update(&self, live: Option<&Value>, new: &mut Value) {
        let given = meta::remove(new, "managedFields");
        let stored = live.and_then(managed_fields);
        let owners = match given {
            Some(given) if self.subresource.is_empty() && Some(&given) != stored => {
                match read_given(&given) {
                    Given::Nobody => None,
                    Given::These(managed) => managed.encode(),
                    Given::Unusable => stored.cloned(),
                }
            }
            Some(given) if Some(&given) == stored => Some(given),
            _ => stored.cloned(),
        };
        self.update_from(live, new, owners);
    }

    fn update_from(&self, live: Option<&Value>, new: &mut Value, owners: Option<Value>) {
        let is_tracked = live.is_none() || owners.is_some();
        if !is_tracked {
            return;
        }
        let nothing = Value::Object(serde_json::Map::new());
        let mut comparison = Comparison::of(self.schema, live.unwrap_or(&nothing), new);
        comparison.ignore(self.reset);
        // The stored form has `managedFields`, which the new one is only about to get.
        for set in [
            &mut comparison.added,
            &mut comparison.modified,
            &mut comparison.removed,
        ] {
            strip(set);
        }
        let list = if comparison == Comparison::default() {
            owners
        } else {
            // What is stored was read before; it cannot be unreadable.
            let owners = owners.as_ref().unwrap_or(&Value::Null);
            let mut managed = Managed::decode(owners).unwrap_or_default();
            self.take(
                &mut managed,
                live.unwrap_or(&nothing),
                new,
                comparison,
                self.manager,
            );
            managed.cap();
            managed.encode()
        };
        if let Some(list) = list {
            meta::set(new, "managedFields", list);
        }
    }

    /// Gives the fields of a comparison to a manager, and takes them from all others.
    fn take(&self, managed: &mut Managed, live: &Value, new: &Value, comparison: Comparison, manager: &str) {
        let changes = apply::Changes::new(self, live, new, comparison);
        let changed = changes.own_changed();
        changes.yield_changed(managed);
        managed.add(self.entry(manager, Operation::Update, changed));
    }

    fn entry(&self, manager: &str, operation: Operation, fields: FieldSet) -> Entry {
        Entry {
            manager: manager.to_owned(),
            operation,
            api_version: self.api_version.to_owned(),
            subresource: self.subresource.to_owned(),
            time: Some(time::format(self.now)),
            fields,
        }
    }
}

fn managed_fields(object: &Value) -> Option<&Value> {
    let list = object.get("metadata")?.get("managedFields")?;
    list.as_array()
        .filter(|entries| !entries.is_empty())
        .map(|_| list)
}

/// What a client says of owners.
enum Given {
    /// That there are none.
    Nobody,
    /// These.
    These(Managed),
    /// Nothing that could be used.
    Unusable,
}

fn read_given(given: &Value) -> Given {
    if let Some([Value::Object(entry)]) = given.as_array().map(Vec::as_slice)
        && entry.is_empty()
    {
        return Given::Nobody;
    }
    match Managed::decode(given) {
        Ok(managed) if !managed.is_empty() => Given::These(managed),
        Ok(_) | Err(_) => Given::Unusable,
    }
}

/// Takes out what nobody owns.
fn strip(set: &mut FieldSet) {
    static NOBODYS_FIELDS: LazyLock<FieldSet> = LazyLock::new(|| {
        let metadata = NOBODYS.iter().map(|name| vec!["metadata", name]);
        let others = [vec!["apiVersion"], vec!["kind"], vec!["metadata"]];
        FieldSet::of(&metadata.chain(others).collect::<Vec<_>>())
    });
    set.subtract(&NOBODYS_FIELDS);
}

/// The empty set.
pub static NO_FIELDS: LazyLock<FieldSet> = LazyLock::new(FieldSet::default);
/// `status` and all beneath it.
pub static STATUS: LazyLock<FieldSet> = LazyLock::new(|| FieldSet::of(&[["status"]]));
/// `spec` and all beneath it.
pub static SPEC: LazyLock<FieldSet> = LazyLock::new(|| FieldSet::of(&[["spec"]]));

/// The manager of a request that names none: what its user agent begins with, without what cannot be printed.
#[must_use]
pub fn manager_of_agent(user_agent: &str) -> String {
    let prefix = user_agent.split('/').next().unwrap_or_default();
    let mut name = String::new();
    for c in prefix.chars().filter(|c| is_printable(*c)) {
        if name.len() + c.len_utf8() > MANAGER_MAX {
            break;
        }
        name.push(c);
    }
    name
}

/// Whether Go's `unicode.IsPrint` holds, as far as managers' names need it: no control characters, and of spaces only
/// the plain one.
#[must_use]
pub fn is_printable(c: char) -> bool {
    c == ' '
        || !(c.is_control()
            || c.is_whitespace()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}'))
}

/// Whether two objects are the same but for the times in `managedFields`: then the older one's times stay, since
/// nothing has changed.
#[must_use]
pub fn same_but_for_times(new: &Value, old: &Value) -> bool {
    let parts = |object: &Value| {
        let fields = object.as_object()?;
        let others: usize = fields.len();
        Some((others, fields.get("metadata")?.as_object()?.len()))
    };
    if parts(new) != parts(old) || !same_owners(new, old) {
        return false;
    }
    let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else {
        return false;
    };
    new.iter()
        .all(|(name, value)| match (name.as_str(), old.get(name), value) {
            ("metadata", Some(Value::Object(before)), Value::Object(after)) => after
                .iter()
                .all(|(name, value)| name == "managedFields" || before.get(name) == Some(value)),
            (_, before, value) => before == Some(value),
        })
}

fn same_owners(new: &Value, old: &Value) -> bool {
    let entries = |object| {
        let list = managed_fields(object).and_then(Value::as_array);
        list.map(Vec::as_slice).unwrap_or_default()
    };
    let (new, old) = (entries(new), entries(old));
    let without_time = |entry: &Value| {
        let fields = entry.as_object().into_iter().flatten();
        fields
            .filter(|(name, _)| *name != "time")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<serde_json::Map<_, _>>()
    };
    new.len() == old.len()
        && new
            .iter()
            .zip(old)
            .all(|(new, old)| without_time(new) == without_time(old))
}

#[cfg(test)]
mod tests;
