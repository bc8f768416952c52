//! Conditions: what is said of an object in its status, statement by statement.
//!
//! The rules are those of Kubernetes' API conventions ("Typical status properties"):
//!
//! - A type is an adjective or a participle (`Ready`, `Progressing`, `ContainersReady`), never an event or a state that
//!   something is in on the way to another.
//! - Conditions are merged by their type. One that a writer does not know survives its writes.
//! - `lastTransitionTime` moves only with `status`: a new reason or message leaves it alone.
//! - `observedGeneration`, where the condition has it, is the generation from which it was concluded; the writer sets it.
//!
//! They hold for conditions of any form: [`Value`]s, and with the feature `k8s-openapi` the typed ones of the built-in
//! kinds.

#[cfg(test)]
mod tests;
#[cfg(feature = "k8s-openapi")]
mod typed;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{meta, time};

/// A condition, by the four things that all of them have.
pub trait Condition {
    /// Its type.
    fn kind(&self) -> &str;
    /// `True`, `False` or `Unknown`.
    fn status(&self) -> &str;
    /// Since when it has this status.
    fn since(&self) -> Option<Timestamp>;
    /// Says since when it has this status.
    fn set_since(&mut self, since: Timestamp);
}

/// `wanted` with the time since when its status holds: that of its like in `before` where the status is the same, else
/// `now`, in whole seconds.
#[must_use]
pub fn dated<C: Condition>(mut wanted: C, before: &[C], now: Timestamp) -> C {
    let same = find(before, wanted.kind()).filter(|old| old.status() == wanted.status());
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    wanted.set_since(same.and_then(Condition::since).unwrap_or(now));
    wanted
}

/// Sets one condition, in the place of its like or at the end.
pub fn set<C: Condition>(list: &mut Vec<C>, wanted: C, now: Timestamp) {
    let wanted = dated(wanted, list, now);
    let place = list.iter().position(|old| old.kind() == wanted.kind());
    match place.and_then(|place| list.get_mut(place)) {
        Some(old) => *old = wanted,
        None => list.push(wanted),
    }
}

/// All of `wanted`, in their order, then those of `before` that are of other types.
#[must_use]
pub fn merged<C: Condition + Clone>(wanted: Vec<C>, before: &[C], now: Timestamp) -> Vec<C> {
    let mut list: Vec<C> = wanted.into_iter().map(|one| dated(one, before, now)).collect();
    let others = before.iter().filter(|old| find(&list, old.kind()).is_none());
    let others: Vec<C> = others.cloned().collect();
    list.extend(others);
    list
}

/// Takes a condition away.
pub fn remove<C: Condition>(list: &mut Vec<C>, kind: &str) {
    list.retain(|old| old.kind() != kind);
}

/// The condition of this type.
#[must_use]
pub fn find<'c, C: Condition>(list: &'c [C], kind: &str) -> Option<&'c C> {
    list.iter().find(|old| old.kind() == kind)
}

/// Whether the condition of this type is there and true.
#[must_use]
pub fn is_true<C: Condition>(list: &[C], kind: &str) -> bool {
    find(list, kind).is_some_and(|found| found.status() == "True")
}

/// The conditions of an untyped object, made where it has none; `None` where its status is no object.
pub fn of_mut(object: &mut Value) -> Option<&mut Vec<Value>> {
    let status = meta::object_mut(meta::member_mut(object, "status"));
    let slot = status.entry("conditions").or_insert_with(|| json!([]));
    if !slot.is_array() {
        *slot = json!([]);
    }
    slot.as_array_mut()
}

impl Condition for Value {
    fn kind(&self) -> &str {
        text(self, "type")
    }

    fn status(&self) -> &str {
        text(self, "status")
    }

    fn since(&self) -> Option<Timestamp> {
        text(self, "lastTransitionTime").parse().ok()
    }

    fn set_since(&mut self, since: Timestamp) {
        let since = time::format(since).into();
        meta::object_mut(self).insert("lastTransitionTime".to_owned(), since);
    }
}

fn text<'v>(condition: &'v Value, field: &str) -> &'v str {
    condition.get(field).and_then(Value::as_str).unwrap_or_default()
}
