//! What an update adds, modifies and removes.

use std::collections::HashSet;

use serde_json::Value;

use super::collect;
use super::element;
use super::form::{Form, Forms, fields, is_always_there, is_hollow, items};
use super::set::{FieldSet, Nodes};
use crate::schema::TypeRef;

/// The fields in which two objects differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// What only the newer one has.
    pub added: FieldSet,
    /// What both have with different values.
    pub modified: FieldSet,
    /// What only the older one has.
    pub removed: FieldSet,
}

impl Comparison {
    /// Compares two objects of a type, field by field as they are owned.
    #[must_use]
    pub fn of(schema: TypeRef<'_>, old: &Value, new: &Value) -> Self {
        let walk = Walk(Forms(schema.schemas));
        let mut change = Change::default();
        let form = Form::Struct(schema.definition);
        walk.parts(form, Some(old), Some(new), &mut change);
        Self {
            added: FieldSet(change.added.unwrap_or_default()),
            modified: FieldSet(change.modified.unwrap_or_default()),
            removed: FieldSet(change.removed.unwrap_or_default()),
        }
    }

    /// Leaves these fields and all beneath them out.
    pub fn ignore(&mut self, fields: &FieldSet) {
        self.added.subtract_all(fields);
        self.modified.subtract_all(fields);
        self.removed.subtract_all(fields);
    }
}

/// A node of each of the three sets, where it is in one.
#[derive(Debug, Default)]
struct Change {
    added: Option<Nodes>,
    modified: Option<Nodes>,
    removed: Option<Nodes>,
}

impl Change {
    fn put(&mut self, element: impl Fn() -> String, inner: Self) {
        let place = [
            (&mut self.added, inner.added),
            (&mut self.modified, inner.modified),
            (&mut self.removed, inner.removed),
        ];
        for (nodes, inner) in place {
            if let Some(inner) = inner {
                nodes
                    .get_or_insert_default()
                    .insert(element(), Value::Object(inner));
            }
        }
    }

    fn added(node: Nodes) -> Self {
        Self {
            added: Some(node),
            ..Self::default()
        }
    }

    fn removed(node: Nodes) -> Self {
        Self {
            removed: Some(node),
            ..Self::default()
        }
    }

    fn modified() -> Self {
        Self {
            modified: Some(Nodes::new()),
            ..Self::default()
        }
    }
}

/// No recursion goes deeper than the values, which the parser of JSON bounds.
#[derive(Debug, Clone, Copy)]
struct Walk<'a>(Forms<'a>);

impl<'a> Walk<'a> {
    /// Compares a value that at least one side has.
    fn value(self, form: Form<'a>, old: Option<&Value>, new: Option<&Value>, always_there: bool) -> Change {
        match (old, new) {
            (None, None) => Change::default(),
            (None, Some(new)) if !always_there => Change::added(collect::all(self.0, form, new)),
            (Some(old), None) if !always_there => Change::removed(collect::all(self.0, form, old)),
            // It has lost all that it had, and goes itself: nobody is left to own it.
            (Some(old), Some(Value::Null)) if !always_there && form.has_parts() && !is_hollow(Some(old)) => {
                Change::removed(collect::all(self.0, form, old))
            }
            _ => self.both(form, old, new),
        }
    }

    fn both(self, form: Form<'a>, old: Option<&Value>, new: Option<&Value>) -> Change {
        let mut change = Change::default();
        match form {
            Form::Scalar(_) | Form::Atomic(_) => return Self::leaf(old, new),
            // What is always there is no more there for being written out.
            _ if is_hollow(old) && is_hollow(new) && (old.is_none() || new.is_none()) => {}
            _ if is_hollow(old) && is_hollow(new) => return Self::leaf(old, new),
            Form::Struct(_) | Form::Map(_) => self.parts(form, old, new, &mut change),
            Form::Set(_) | Form::Keyed(..) if old == new => {}
            Form::Set(_) | Form::Keyed(..) => self.items(form, items(old), items(new), &mut change),
        }
        change
    }

    fn leaf(old: Option<&Value>, new: Option<&Value>) -> Change {
        if old == new {
            Change::default()
        } else {
            Change::modified()
        }
    }

    /// Compares the fields of an object or the entries of a map.
    fn parts(self, form: Form<'a>, old: Option<&Value>, new: Option<&Value>, change: &mut Change) {
        let (old, new) = (fields(old), fields(new));
        let before = old.into_iter().flatten().map(|(name, _)| name);
        let after = new.into_iter().flatten().map(|(name, _)| name);
        let fresh = after.filter(|name| old.is_none_or(|old| !old.contains_key(*name)));
        for name in before.chain(fresh) {
            let (old, new) = (
                old.and_then(|old| old.get(name)),
                new.and_then(|new| new.get(name)),
            );
            let Some(part) = self.0.part(form, name) else {
                continue;
            };
            let always_there = match form {
                Form::Struct(definition) => definition
                    .field(name)
                    .is_some_and(|field| is_always_there(field, part)),
                _ => false,
            };
            let inner = self.value(part, old, new, always_there);
            change.put(|| element::field(name), inner);
        }
    }

    /// Compares lists item by item. Several items with one element count as one that is opaque.
    fn items(self, form: Form<'a>, old: &[Value], new: &[Value], change: &mut Change) {
        let (old, new) = (self.0.index(form, old), self.0.index(form, new));
        let item = self.0.item(form);
        let mut seen = HashSet::new();
        for (element, _) in old.order.iter().chain(&new.order) {
            if !seen.insert(element.as_str()) {
                continue;
            }
            let found = |items: &super::form::Items<'_>| {
                items.by_element.get(element).map(Vec::len).unwrap_or_default()
            };
            let inner = match (found(&old), found(&new)) {
                (0 | 1, 0 | 1) => self.value(item, old.single(element), new.single(element), false),
                (2.., 2..) if old.by_element.get(element) == new.by_element.get(element) => Change::default(),
                (2.., 2..) => Change::modified(),
                (2.., _) => self.less_duplicates(item, new.single(element)),
                (_, _) => self.more_duplicates(item, old.single(element)),
            };
            change.put(|| element.clone(), inner);
        }
    }

    fn less_duplicates(self, form: Form<'a>, single: Option<&Value>) -> Change {
        let added = single.map(|item| collect::all(self.0, form, item));
        Change {
            added,
            ..Change::removed(Nodes::new())
        }
    }

    fn more_duplicates(self, form: Form<'a>, single: Option<&Value>) -> Change {
        let removed = single.map(|item| collect::all(self.0, form, item));
        Change {
            removed,
            ..Change::added(Nodes::new())
        }
    }
}
