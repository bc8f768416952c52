//! Sets of field paths in the form `FieldsV1`.

use serde_json::{Map, Value};

use super::element;

/// The nodes beneath a node, by path element.
pub(super) type Nodes = Map<String, Value>;

/// That the node itself is in the set, where nodes beneath it are too.
const SELF: &str = ".";

/// Why a text is no set of fields.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldSetError {
    /// A node is no object.
    #[error("a set of fields must be an object, and so must everything in it")]
    NotAnObject,
    /// A key is no path element.
    #[error(
        "{key:?} is no path element: it must begin with `f:`, `v:`, `k:` or `i:` and hold what that announces"
    )]
    Element {
        /// The key.
        key: String,
    },
}

/// A set of field paths, kept in the form in which it is stored: `FieldsV1`.
///
/// A node is an object whose members are the nodes beneath it, by path element: `f:<name>`, `k:<keys>` and
/// `v:<value>` of list items, `i:<index>`. A node is in the set itself where it is empty or has the member `.`.
/// Every operation is linear in the smaller set or in the one that it changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSet(pub(super) Nodes);

impl FieldSet {
    /// Reads a set, and brings it into the one form by which equal sets are equal.
    ///
    /// # Errors
    ///
    /// Names the key that is no path element.
    pub fn parse(fields: &Value) -> Result<Self, FieldSetError> {
        canonical(fields).map(|mut nodes| {
            nodes.remove(SELF);
            Self(nodes)
        })
    }

    /// The set of the fields at these paths, each a list of names.
    #[must_use]
    pub fn of<P: AsRef<[N]>, N: AsRef<str>>(paths: &[P]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let path: Vec<&str> = path.as_ref().iter().map(AsRef::as_ref).collect();
            set.insert(&path);
        }
        set
    }

    /// The set as `FieldsV1`.
    #[must_use]
    pub fn into_json(self) -> Value {
        Value::Object(self.0)
    }

    /// Whether there is no path in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the field at these names, such as `["metadata", "labels"]`.
    pub fn insert(&mut self, path: &[&str]) {
        let mut set = Nodes::new();
        for name in path.iter().rev() {
            let mut outer = Nodes::new();
            outer.insert(element::field(name), Value::Object(set));
            set = outer;
        }
        unite(&mut self.0, set);
    }

    /// Whether the field at these names is in it.
    #[must_use]
    pub fn has(&self, path: &[&str]) -> bool {
        let Some((last, parents)) = path.split_last() else {
            return false;
        };
        let inner = parents.iter().try_fold(&self.0, |nodes, name| {
            nodes.get(&element::field(name)).and_then(Value::as_object)
        });
        inner
            .and_then(|nodes| nodes.get(&element::field(last)))
            .is_some_and(is_member)
    }

    /// Adds what `other` has.
    pub fn unite(&mut self, other: Self) {
        unite(&mut self.0, other.0);
    }

    /// Takes away exactly the paths in `other`; what is beneath them stays.
    pub fn subtract(&mut self, other: &Self) {
        subtract(&mut self.0, &other.0);
    }

    /// Takes away the paths in `other` and everything beneath them.
    pub fn subtract_all(&mut self, other: &Self) {
        subtract_all(&mut self.0, &other.0);
    }

    /// What is in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        Self(common(&self.0, &other.0))
    }

    /// Every path as conflicts print it, such as `.spec.containers[name="a"].image`; those nearer the root first.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        list(&self.0, "", &mut found);
        found
    }
}

fn canonical(fields: &Value) -> Result<Nodes, FieldSetError> {
    let Value::Object(members) = fields else {
        return Err(FieldSetError::NotAnObject);
    };
    let mut nodes = Nodes::new();
    for (key, inner) in members.iter().filter(|(key, _)| *key != SELF) {
        let key = element::canonical(key).ok_or_else(|| FieldSetError::Element { key: key.clone() })?;
        let mut one = Nodes::new();
        one.insert(key, Value::Object(canonical(inner)?));
        unite(&mut nodes, one);
    }
    if !nodes.is_empty() && members.contains_key(SELF) {
        nodes.insert(SELF.to_owned(), Value::Object(Nodes::new()));
    }
    Ok(nodes)
}

/// Whether a node is in its set itself.
pub(super) fn is_member(node: &Value) -> bool {
    node.as_object()
        .is_none_or(|nodes| nodes.is_empty() || nodes.contains_key(SELF))
}

/// Makes the node of these nodes beneath it a member.
pub(super) fn into_member(mut inner: Nodes) -> Nodes {
    if !inner.is_empty() {
        inner.insert(SELF.to_owned(), Value::Object(Nodes::new()));
    }
    inner
}

/// The nodes beneath a node.
pub(super) fn inner(node: &Value) -> impl Iterator<Item = (&String, &Value)> {
    node.as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != SELF)
}

/// Whether there are nodes beneath a node.
pub(super) fn has_inner(node: &Value) -> bool {
    inner(node).next().is_some()
}

/// Adds `other` to `nodes`.
pub(super) fn unite(nodes: &mut Nodes, other: Nodes) {
    if nodes.is_empty() {
        *nodes = other;
        return;
    }
    for (key, theirs) in other {
        match nodes.get_mut(&key) {
            Some(Value::Object(ours)) => {
                let member = ours.is_empty() || ours.contains_key(SELF) || is_member(&theirs);
                if let Value::Object(mut theirs) = theirs {
                    theirs.remove(SELF);
                    unite(ours, theirs);
                }
                if member && !ours.is_empty() {
                    ours.insert(SELF.to_owned(), Value::Object(Nodes::new()));
                }
            }
            _ => {
                nodes.insert(key, theirs);
            }
        }
    }
}

fn subtract(nodes: &mut Nodes, other: &Nodes) {
    for (key, theirs) in other.iter().filter(|(key, _)| *key != SELF) {
        let Some(Value::Object(ours)) = nodes.get_mut(key) else {
            continue;
        };
        let member = (ours.is_empty() || ours.contains_key(SELF)) && !is_member(theirs);
        ours.remove(SELF);
        if let Value::Object(theirs) = theirs {
            subtract(ours, theirs);
        }
        settle(nodes, key, member);
    }
}

/// Brings the node at `key` into form after nodes beneath it have gone: gone too where nothing is left of it.
fn settle(nodes: &mut Nodes, key: &str, member: bool) {
    let Some(Value::Object(ours)) = nodes.get_mut(key) else {
        return;
    };
    match (member, ours.is_empty()) {
        (true, false) => drop(ours.insert(SELF.to_owned(), Value::Object(Nodes::new()))),
        (false, true) => drop(nodes.remove(key)),
        (true, true) | (false, false) => {}
    }
}

fn subtract_all(nodes: &mut Nodes, other: &Nodes) {
    for (key, theirs) in other.iter().filter(|(key, _)| *key != SELF) {
        if is_member(theirs) {
            nodes.remove(key);
            continue;
        }
        let (Some(Value::Object(ours)), Value::Object(theirs)) = (nodes.get_mut(key), theirs) else {
            continue;
        };
        let member = ours.is_empty() || ours.remove(SELF).is_some();
        subtract_all(ours, theirs);
        settle(nodes, key, member);
    }
}

fn common(nodes: &Nodes, other: &Nodes) -> Nodes {
    let (few, many) = if nodes.len() <= other.len() {
        (nodes, other)
    } else {
        (other, nodes)
    };
    let mut both = Nodes::new();
    for (key, ours) in few.iter().filter(|(key, _)| *key != SELF) {
        let (Some(theirs), Value::Object(inner)) = (many.get(key), ours) else {
            continue;
        };
        let shared = theirs
            .as_object()
            .map(|theirs| common(inner, theirs))
            .unwrap_or_default();
        if is_member(ours) && is_member(theirs) {
            both.insert(key.clone(), Value::Object(into_member(shared)));
        } else if !shared.is_empty() {
            both.insert(key.clone(), Value::Object(shared));
        }
    }
    both
}

fn list(nodes: &Nodes, prefix: &str, found: &mut Vec<String>) {
    let inner = || nodes.iter().filter(|(key, _)| *key != SELF);
    let path = |key: &str| format!("{prefix}{}", element::shown(key));
    found.extend(
        inner()
            .filter(|(_, node)| is_member(node))
            .map(|(key, _)| path(key)),
    );
    for (key, node) in inner() {
        if let Value::Object(nodes) = node {
            list(nodes, &path(key), found);
        }
    }
}

#[cfg(test)]
mod tests;
