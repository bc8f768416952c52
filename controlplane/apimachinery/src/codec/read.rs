//! Building a value while noting what it holds twice and weighing what it takes.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::budget::{Budget, ITEM, TooLarge};
use super::{Document, Duplicate};

/// Most duplicates that are listed.
pub(super) const LISTED: usize = 100;

/// What has been seen so far.
#[derive(Debug, Default)]
pub(super) struct Notes {
    duplicates: RefCell<Vec<Duplicate>>,
    budget: Budget,
}

impl Notes {
    pub(super) fn document(self, value: Value) -> Document {
        Document {
            value,
            duplicates: self.duplicates.into_inner(),
        }
    }

    fn take<E: Error>(&self, bytes: usize) -> Result<(), E> {
        self.budget.take(bytes).map_err(too_large)
    }

    fn duplicate(&self, place: &Place<'_>) {
        let mut duplicates = self.duplicates.borrow_mut();
        if duplicates.len() < LISTED {
            duplicates.push(Duplicate::Field(place.to_string()));
        }
    }
}

fn too_large<E: Error>(error: TooLarge) -> E {
    E::custom(error)
}

/// Where we are in the document; a linked list on the stack, printed only for duplicates.
#[derive(Debug)]
pub(super) enum Place<'a> {
    Root,
    Member(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(Self::Root, name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// One value of the document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'a> {
    place: &'a Place<'a>,
    notes: &'a Notes,
}

impl<'a> Node<'a> {
    pub(super) fn new(place: &'a Place<'a>, notes: &'a Notes) -> Self {
        Self { place, notes }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        // `-0` is the integer that it is for Go.
        if value == 0.0 && value.is_sign_negative() {
            return Ok(Value::Number(0.into()));
        }
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.notes.take(value.len())?;
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.notes.take(value.len())?;
        Ok(Value::String(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let place = Place::Item(self.place, list.len());
            self.notes.take(ITEM)?;
            match items.next_element_seed(Node::new(&place, self.notes))? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            self.notes.budget.take_member(&map, &name).map_err(too_large)?;
            let place = Place::Member(self.place, &name);
            let value = members.next_value_seed(Node::new(&place, self.notes))?;
            if map.contains_key(&name) {
                self.notes.duplicate(&place);
            }
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}
