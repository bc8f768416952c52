//! The fields of one object: all that are there, or those that a configuration speaks for.

use std::fmt;

use serde_json::Value;

use super::element;
use super::form::{Form, Forms, Whole, is_hollow, items};
use super::set::{FieldSet, Nodes, into_member};
use crate::go;
use crate::schema::TypeRef;
use crate::schema::model::Scalar;

/// Most mistakes that are listed.
const LIMIT: usize = 100;

/// The node of a value with everything beneath it, each a member: what appears with the value.
pub(super) fn all(forms: Forms<'_>, form: Form<'_>, value: &Value) -> Nodes {
    let mut nodes = Nodes::new();
    match (form, value) {
        (Form::Struct(_) | Form::Map(_), Value::Object(fields)) => {
            for (name, value) in fields {
                if let Some(part) = forms.part(form, name) {
                    nodes.insert(element::field(name), Value::Object(all(forms, part, value)));
                }
            }
        }
        (Form::Set(_) | Form::Keyed(..), Value::Array(items)) => {
            let item_form = forms.item(form);
            for item in items {
                let Ok(element) = forms.element(form, item) else {
                    continue;
                };
                // Of several with one element, only that they are there can be said.
                let inner = if nodes.contains_key(&element) {
                    Nodes::new()
                } else {
                    all(forms, item_form, item)
                };
                nodes.insert(element, Value::Object(inner));
            }
        }
        _ => {}
    }
    into_member(nodes)
}

/// One thing that a configuration has wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    path: String,
    detail: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.detail)
        } else {
            write!(f, "{}: {}", self.path, self.detail)
        }
    }
}

/// What a configuration has wrong: at most 100 mistakes, printed as upstream prints them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] => one.fmt(f),
            several => {
                f.write_str("errors:")?;
                several.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
            }
        }
    }
}

impl std::error::Error for Mistakes {}

/// The fields that a configuration speaks for.
///
/// # Errors
///
/// Fields that the type does not know, values of another type, items that cannot be told apart.
pub(super) fn configured(schema: TypeRef<'_>, config: &Value) -> Result<FieldSet, Mistakes> {
    let mut walk = Walk {
        forms: Forms(schema.schemas),
        duplicates: false,
        mistakes: Vec::new(),
    };
    let nodes = walk.value(Form::Struct(schema.definition), config, &Trail::Root);
    if walk.mistakes.is_empty() {
        Ok(FieldSet(nodes.unwrap_or_default()))
    } else {
        Err(Mistakes(walk.mistakes))
    }
}

/// As [`configured`], of an object that is there: what it has wrong is passed over.
pub(super) fn present(schema: TypeRef<'_>, object: &Value) -> FieldSet {
    let mut walk = Walk {
        forms: Forms(schema.schemas),
        duplicates: true,
        mistakes: Vec::new(),
    };
    let nodes = walk.value(Form::Struct(schema.definition), object, &Trail::Root);
    FieldSet(nodes.unwrap_or_default())
}

/// The way from the root, printed only for mistakes.
enum Trail<'t> {
    Root,
    Step(&'t Trail<'t>, &'t str),
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Step(before, element) => write!(f, "{before}{}", element::shown(element)),
        }
    }
}

struct Walk<'a> {
    forms: Forms<'a>,
    /// Whether lists may have duplicates.
    duplicates: bool,
    mistakes: Vec<Mistake>,
}

impl<'a> Walk<'a> {
    fn mistake(&mut self, at: &Trail<'_>, detail: String) {
        if self.mistakes.len() < LIMIT {
            self.mistakes.push(Mistake {
                path: at.to_string(),
                detail,
            });
        }
    }

    /// The node of a value; `None` where nothing is said by it.
    fn value(&mut self, form: Form<'a>, value: &Value, at: &Trail<'_>) -> Option<Nodes> {
        if let Some(problem) = misfit(form, value) {
            self.mistake(at, problem);
            return None;
        }
        let nodes = match form {
            Form::Scalar(_) | Form::Atomic(_) => return Some(Nodes::new()),
            Form::Struct(_) | Form::Map(_) => self.parts(form, value, at),
            Form::Set(_) | Form::Keyed(..) => self.items(form, items(Some(value)), at),
        };
        Some(nodes).filter(|nodes| !nodes.is_empty())
    }

    fn parts(&mut self, form: Form<'a>, value: &Value, at: &Trail<'_>) -> Nodes {
        let mut nodes = Nodes::new();
        for (name, value) in value.as_object().into_iter().flatten() {
            let element = element::field(name);
            let at = Trail::Step(at, &element);
            let Some(part) = self.forms.part(form, name) else {
                self.mistake(&at, "field not declared in schema".to_owned());
                continue;
            };
            let inner = self.value(part, value, &at);
            let says_nothing = !value.is_array() && is_hollow(Some(value));
            let inner = if says_nothing || matches!(form, Form::Map(_)) {
                Some(into_member(inner.unwrap_or_default()))
            } else {
                inner
            };
            if let Some(inner) = inner {
                nodes.insert(element, Value::Object(inner));
            }
        }
        nodes
    }

    fn items(&mut self, form: Form<'a>, items: &[Value], at: &Trail<'_>) -> Nodes {
        let mut nodes = Nodes::new();
        let item_form = self.forms.item(form);
        for (place, item) in items.iter().enumerate() {
            let element = match self.forms.element(form, item) {
                Ok(element) => element,
                Err(problem) => {
                    self.mistake(at, format!("element {place}: {problem}"));
                    continue;
                }
            };
            if nodes.contains_key(&element) {
                if !self.duplicates {
                    self.mistake(
                        at,
                        format!("duplicate entries for key {}", element::shown(&element)),
                    );
                }
                nodes.insert(element, Value::Object(Nodes::new()));
                continue;
            }
            let inner = self.value(item_form, item, &Trail::Step(at, &element));
            nodes.insert(element, Value::Object(into_member(inner.unwrap_or_default())));
        }
        nodes
    }
}

/// Why a value cannot be of this form, in upstream's words.
fn misfit(form: Form<'_>, value: &Value) -> Option<String> {
    match (form, value) {
        (_, Value::Null)
        | (Form::Atomic(Whole::Any), _)
        | (Form::Atomic(Whole::List) | Form::Set(_) | Form::Keyed(..), Value::Array(_))
        | (Form::Atomic(Whole::Map) | Form::Struct(_) | Form::Map(_), Value::Object(_)) => None,
        (Form::Scalar(scalar), value) => wrong_scalar(scalar, value),
        (Form::Atomic(Whole::List) | Form::Set(_) | Form::Keyed(..), _) => {
            Some(format!("expected list, got &{{{}}}", go::value(value)))
        }
        (Form::Atomic(Whole::Map) | Form::Struct(_) | Form::Map(_), _) => {
            Some(format!("expected map, got &{{{}}}", go::value(value)))
        }
    }
}

fn wrong_scalar(scalar: Scalar, value: &Value) -> Option<String> {
    match (scalar, value) {
        (Scalar::String | Scalar::Byte, Value::String(_))
        | (Scalar::Int32 | Scalar::Int64 | Scalar::Double, Value::Number(_))
        | (Scalar::Bool, Value::Bool(_)) => None,
        (Scalar::String | Scalar::Byte, _) => Some(format!(
            "expected string, got &value.valueUnstructured{{Value:{}}}",
            go::literal(value)
        )),
        (Scalar::Int32 | Scalar::Int64 | Scalar::Double, _) => Some(format!(
            "expected numeric (int or float), got {}",
            go::type_of(value)
        )),
        (Scalar::Bool, _) => Some(format!("expected boolean, got &{{{}}}", go::value(value))),
        (_, Value::Array(_) | Value::Object(_)) => {
            Some(format!("expected any scalar, got &{{{}}}", go::value(value)))
        }
        _ => None,
    }
}
