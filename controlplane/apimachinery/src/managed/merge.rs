//! Laying a configuration over an object, and taking fields out of one.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::element;
use super::form::{Form, Forms, Items, is_hollow};
use super::set::{FieldSet, Nodes, has_inner, into_member, is_member};
use crate::schema::TypeRef;

/// `live` with `config` laid over it: what is owned as one is taken from `config`, the rest is merged.
pub(super) fn merge(schema: TypeRef<'_>, live: &Value, config: &Value) -> Value {
    values(
        Forms(schema.schemas),
        Form::Struct(schema.definition),
        live,
        config,
    )
}

fn values(forms: Forms<'_>, form: Form<'_>, live: &Value, config: &Value) -> Value {
    match (form, live, config) {
        (Form::Scalar(_) | Form::Atomic(_), _, _) => config.clone(),
        _ if is_hollow(Some(live)) => config.clone(),
        (_, _, Value::Null) => live.clone(),
        (Form::Struct(_) | Form::Map(_), Value::Object(live), Value::Object(config)) => {
            Value::Object(parts(forms, form, live, config))
        }
        (Form::Set(_) | Form::Keyed(..), Value::Array(live), Value::Array(config)) => {
            Value::Array(items(forms, form, live, config))
        }
        _ => config.clone(),
    }
}

fn parts(
    forms: Forms<'_>,
    form: Form<'_>,
    live: &Map<String, Value>,
    config: &Map<String, Value>,
) -> Map<String, Value> {
    let mut merged = live.clone();
    for (name, wanted) in config {
        let value = match (live.get(name), forms.part(form, name)) {
            (Some(live), Some(part)) => values(forms, part, live, wanted),
            _ => wanted.clone(),
        };
        merged.insert(name.clone(), value);
    }
    merged
}

/// Items of both lists: those of the configuration in its order, the others where the live list has them.
fn items(forms: Forms<'_>, form: Form<'_>, live: &[Value], config: &[Value]) -> Vec<Value> {
    let (live, config) = (forms.index(form, live), forms.index(form, config));
    Zipper {
        forms,
        form: forms.item(form),
        shared: config
            .order
            .iter()
            .map(|(element, _)| element.as_str())
            .filter(|element| live.by_element.contains_key(*element))
            .collect::<Vec<_>>()
            .into_iter(),
        live: &live,
        config: &config,
        merged: HashSet::new(),
        out: Vec::with_capacity(live.order.len().max(config.order.len())),
    }
    .run()
}

struct Zipper<'a, 'v> {
    forms: Forms<'a>,
    form: Form<'a>,
    live: &'v Items<'v>,
    config: &'v Items<'v>,
    /// The elements that both have, in the configuration's order, as far as they are still to come.
    shared: std::vec::IntoIter<&'v str>,
    merged: HashSet<&'v str>,
    out: Vec<Value>,
}

impl<'v> Zipper<'_, 'v> {
    fn run(mut self) -> Vec<Value> {
        let (live, config) = (&self.live.order, &self.config.order);
        let mut next_shared = self.shared.next();
        let (mut l, mut c) = (0, 0);
        loop {
            let (ours, theirs) = (live.get(l), config.get(c));
            match (ours, theirs) {
                (None, None) => return self.out,
                (Some((element, _)), Some((wanted, _))) if element == wanted => {
                    self.take(wanted);
                    next_shared = self.shared.next();
                    (l, c) = (l + 1, c + 1);
                    continue;
                }
                // In both, but not the one whose turn it is.
                (Some((element, _)), Some(_))
                    if self.wants(element) && next_shared.is_some_and(|next| next != element) =>
                {
                    l += 1;
                    continue;
                }
                (Some((element, item)), _) if !self.wants(element) => {
                    self.out.push((*item).clone());
                    l += 1;
                    continue;
                }
                (Some((element, _)), _) if self.merged.contains(element.as_str()) => l += 1,
                _ => {}
            }
            if let Some((wanted, _)) = theirs {
                self.take(wanted);
                c += 1;
                if next_shared == Some(wanted) {
                    next_shared = self.shared.next();
                }
            }
        }
    }

    fn wants(&self, element: &str) -> bool {
        self.config.by_element.contains_key(element)
    }

    /// Takes the configuration's item, merged into the live one unless that has duplicates.
    fn take(&mut self, element: &'v str) {
        self.merged.insert(element);
        let Some(wanted) = self.config.single(element) else {
            return;
        };
        let item = match self.live.single(element) {
            Some(live) => values(self.forms, self.form, live, wanted),
            None => wanted.clone(),
        };
        self.out.push(item);
    }
}

/// `object` without the fields in `gone`. What is owned as one goes only as one; what has lost all it had is null.
pub(super) fn without(schema: TypeRef<'_>, object: &Value, gone: &FieldSet) -> Value {
    remove(
        Forms(schema.schemas),
        Form::Struct(schema.definition),
        object,
        &gone.0,
    )
}

fn remove(forms: Forms<'_>, form: Form<'_>, value: &Value, gone: &Nodes) -> Value {
    match (form, value) {
        (Form::Struct(_) | Form::Map(_), Value::Object(fields)) => {
            let kept = fields
                .iter()
                .filter_map(|(name, value)| {
                    let node = gone.get(&element::field(name));
                    let part = forms.part(form, name).unwrap_or(form);
                    Some((name.clone(), kept(forms, part, value, node)?))
                })
                .collect::<Map<_, _>>();
            if kept.is_empty() {
                Value::Null
            } else {
                Value::Object(kept)
            }
        }
        (Form::Set(_) | Form::Keyed(..), Value::Array(items)) => {
            let item_form = forms.item(form);
            let kept: Vec<Value> = items
                .iter()
                .filter_map(|item| {
                    let node = forms
                        .element(form, item)
                        .ok()
                        .and_then(|element| gone.get(&element));
                    kept(forms, item_form, item, node).filter(|left| !left.is_null())
                })
                .collect();
            if kept.is_empty() {
                Value::Null
            } else {
                Value::Array(kept)
            }
        }
        (Form::Atomic(_), _) => Value::Null,
        (_, other) => other.clone(),
    }
}

/// What is left of a part whose node among the fields to remove is `node`.
fn kept(forms: Forms<'_>, form: Form<'_>, value: &Value, node: Option<&Value>) -> Option<Value> {
    match node {
        Some(node) if is_member(node) => None,
        Some(Value::Object(gone)) if !is_hollow(Some(value)) && !gone.is_empty() => {
            Some(remove(forms, form, value, gone))
        }
        _ => Some(value.clone()),
    }
}

/// `set` with every declared field a member that has a member beneath it. Items of lists and entries of maps are not.
pub(super) fn with_named_fields(schema: TypeRef<'_>, set: &FieldSet) -> FieldSet {
    FieldSet(named(
        Forms(schema.schemas),
        Some(Form::Struct(schema.definition)),
        &set.0,
    ))
}

fn named(forms: Forms<'_>, form: Option<Form<'_>>, nodes: &Nodes) -> Nodes {
    let mut out = Nodes::new();
    for (key, node) in nodes.iter().filter(|(key, _)| *key != ".") {
        let part = form.and_then(|form| match element::field_name(key) {
            Some(name) => forms.part(form, name),
            None => Some(forms.item(form)),
        });
        let declared = matches!(form, Some(Form::Struct(_))) && part.is_some();
        let below = match node {
            Value::Object(below) if has_inner(node) => named(forms, part, below),
            _ => Nodes::new(),
        };
        let below = if declared || is_member(node) {
            into_member(below)
        } else {
            below
        };
        out.insert(key.clone(), Value::Object(below));
    }
    out
}

/// Brings a set into line with what the table says now: beneath what is owned as one, nothing is owned by itself.
pub(super) fn reconciled(schema: TypeRef<'_>, set: FieldSet) -> FieldSet {
    fn settle(forms: Forms<'_>, form: Form<'_>, nodes: &mut Nodes) {
        for (key, node) in nodes.iter_mut().filter(|(key, _)| *key != ".") {
            let part = match element::field_name(key) {
                Some(name) => forms.part(form, name),
                None => Some(forms.item(form)),
            };
            match (part, &mut *node) {
                (Some(Form::Atomic(_)), Value::Object(below)) => below.clear(),
                (Some(part), Value::Object(below)) => settle(forms, part, below),
                _ => {}
            }
        }
    }
    let mut nodes = set.0;
    settle(Forms(schema.schemas), Form::Struct(schema.definition), &mut nodes);
    FieldSet(nodes)
}
