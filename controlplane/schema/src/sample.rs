//! Objects for properties: of a kind's own form, with unknown fields, `null`s and wrong types here and there.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use controlplane_apimachinery::schema::model::{Definition, Resolved, Scalar, Shape};

use crate::{Schemas, TypeRef, builtin};

/// A built-in kind, told by its name in failures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind(&'static str);

impl Kind {
    pub(crate) fn schema(self) -> TypeRef<'static> {
        let groups = ["", "apps", "batch"];
        groups
            .iter()
            .find_map(|group| builtin().kind(group, "v1", self.0))
            .expect("built-in kind")
    }
}

/// A kind of `kinds` and two objects of it without anything wrong: nothing unknown, no `null`, keys in all lists that
/// are merged by them.
pub(crate) fn two_objects_of(kinds: &'static [&'static str]) -> impl Strategy<Value = (Kind, Value, Value)> {
    let choices = || proptest::collection::vec(any::<u16>(), 0..400);
    (proptest::sample::select(kinds), choices(), choices()).prop_map(|(kind, first, second)| {
        let kind = Kind(kind);
        let make = |choices: Vec<u16>| Maker::of(choices, Mood::Tame).object(kind.schema().definition(), 0);
        (kind, make(first), make(second))
    })
}

/// A kind of `kinds` and an object of it.
pub(crate) fn object_of(kinds: &'static [&'static str]) -> impl Strategy<Value = (Kind, Value)> {
    // A list of numbers decides everything, so that a failure shrinks to few decisions.
    (
        proptest::sample::select(kinds),
        proptest::collection::vec(any::<u16>(), 0..400),
    )
        .prop_map(|(kind, choices)| {
            let kind = Kind(kind);
            let mut maker = Maker::of(choices, Mood::Wild);
            let value = maker.object(kind.schema().definition(), 0);
            (kind, value)
        })
}

/// Whether a maker makes mistakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Tame,
    Wild,
}

struct Maker<'a> {
    schemas: &'a Schemas,
    choices: std::vec::IntoIter<u16>,
    mood: Mood,
}

impl Maker<'_> {
    fn of(choices: Vec<u16>, mood: Mood) -> Self {
        Self {
            schemas: builtin(),
            choices: choices.into_iter(),
            mood,
        }
    }

    fn choose(&mut self, among: u16) -> u16 {
        self.choices.next().map_or(0, |choice| choice % among)
    }

    fn object(&mut self, definition: &Definition, depth: usize) -> Value {
        let mut fields = Map::new();
        for field in definition.fields() {
            let rarely = if depth < 2 { 2 } else { 8 };
            if self.choose(rarely) == 1 {
                let mut value = self.value(&field.shape, depth + 1);
                if let (Mood::Tame, Some(key)) = (self.mood, &field.attributes.merge_key) {
                    self.give_keys(&mut value, key);
                }
                fields.insert(field.name.to_string(), value);
            }
        }
        if self.mood == Mood::Wild && self.choose(8) == 1 {
            fields.insert("unheardOf".to_owned(), json!({ "a": [1] }));
        }
        Value::Object(fields)
    }

    /// Gives each element a key, now and then the same.
    fn give_keys(&mut self, list: &mut Value, key: &str) {
        for element in list.as_array_mut().into_iter().flatten() {
            element[key] = format!("key{}", self.choose(8)).into();
        }
    }

    fn value(&mut self, shape: &Shape, depth: usize) -> Value {
        let slips = if self.mood == Mood::Wild { 20 } else { 18 };
        match (self.choose(slips), self.schemas.resolve(shape)) {
            (19, _) => Value::Null,
            (18, _) => json!(["wrong"]),
            (_, Resolved::Scalar(scalar)) => self.scalar(scalar),
            (_, Resolved::Object(definition)) => self.object(definition, depth),
            (_, Resolved::List(items)) => (0..self.choose(4))
                .map(|_| self.value(items, depth + 1))
                .collect(),
            (_, Resolved::Map(values)) => {
                let entry =
                    |place: u16, maker: &mut Self| (format!("k{place}"), maker.value(values, depth + 1));
                Value::Object((0..self.choose(4)).map(|place| entry(place, self)).collect())
            }
        }
    }

    fn scalar(&mut self, scalar: Scalar) -> Value {
        const WORDS: [&str; 8] = [
            "",
            "a",
            "b",
            "RollingUpdate",
            "ClientIP",
            "LoadBalancer",
            "Container",
            "nginx:latest",
        ];
        match scalar {
            Scalar::String => WORDS
                .get(usize::from(self.choose(8)))
                .copied()
                .unwrap_or_default()
                .into(),
            Scalar::Byte => "YQ==".into(),
            Scalar::Int32 | Scalar::Int64 | Scalar::IntOrString => self.choose(4).into(),
            Scalar::Double => json!(0.5),
            Scalar::Bool => (self.choose(2) == 1).into(),
            Scalar::Time | Scalar::MicroTime => "2026-01-01T00:00:00Z".into(),
            Scalar::Quantity => "1".into(),
            Scalar::Any | Scalar::Free if self.mood == Mood::Tame => json!({ "free": self.choose(4) }),
            Scalar::Any | Scalar::Free => json!({ "free": null }),
        }
    }
}
