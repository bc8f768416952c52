//! Messages as JSON objects.

use serde_json::{Map, Value};

use crate::error::DecodeError;
use crate::table::{Field, MessageId, Presence, Shape, Table};
use crate::value;
use crate::wire::{Reader, Wire};

/// Deepest nesting of messages; the kinds of Kubernetes have about a dozen levels.
const DEPTH: usize = 32;

/// Reads a message of the table.
pub(crate) fn read(
    table: &Table,
    message: MessageId,
    bytes: &[u8],
) -> Result<Map<String, Value>, DecodeError> {
    Decoder { table, depth: DEPTH }.message(message, bytes)
}

/// A place in the message: which table, and how many levels may follow.
#[derive(Debug, Clone, Copy)]
struct Decoder<'t> {
    table: &'t Table,
    depth: usize,
}

impl Decoder<'_> {
    fn message(self, message: MessageId, bytes: &[u8]) -> Result<Map<String, Value>, DecodeError> {
        let depth = self.depth.checked_sub(1).ok_or(DecodeError::TooDeep)?;
        let inside = Self { depth, ..self };
        let mut object = Map::new();
        let mut fields = Reader(bytes);
        while let Some((number, wire)) = fields.field()? {
            if let Some(field) = self.table.field(message, number) {
                inside.field(field, wire, &mut object)?;
            }
        }
        Ok(object)
    }

    /// Reads one field into `object`.
    fn field(
        self,
        field: &Field,
        wire: Wire<'_>,
        object: &mut Map<String, Value>,
    ) -> Result<(), DecodeError> {
        match (field.name, &field.shape) {
            (None, Shape::Message(inlined)) => object.extend(self.message(*inlined, wire.bytes()?)?),
            (None, _) => {}
            (Some(name), Shape::List(items)) => {
                if let Value::Array(list) = object.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                    self.extend(list, items, wire)?;
                }
            }
            (Some(name), Shape::Map(values)) => {
                let (key, value) = self.pair(values, wire.bytes()?)?;
                if let Value::Object(map) = object.entry(name).or_insert_with(|| Value::Object(Map::new())) {
                    map.insert(key, value);
                }
            }
            (Some(name), shape) => {
                let value = self.value(shape, wire)?;
                if !is_absent(field, &value) {
                    object.insert(name.to_owned(), value);
                }
            }
        }
        Ok(())
    }

    /// Numbers in a list may come packed into one field.
    fn extend(self, list: &mut Vec<Value>, items: &Shape, wire: Wire<'_>) -> Result<(), DecodeError> {
        if let (Shape::Integer, Wire::Bytes(packed)) = (items, wire) {
            let mut numbers = Reader(packed);
            while !numbers.0.is_empty() {
                list.push(value::integer(numbers.number()?));
            }
            return Ok(());
        }
        list.push(self.value(items, wire)?);
        Ok(())
    }

    /// An entry of a map; a value that is not sent is the zero of its type.
    fn pair(self, values: &Shape, bytes: &[u8]) -> Result<(String, Value), DecodeError> {
        let (mut key, mut found) = ("", Wire::Bytes(&[]));
        let mut fields = Reader(bytes);
        while let Some((number, wire)) = fields.field()? {
            match number {
                1 => key = wire.text()?,
                2 => found = wire,
                _ => {}
            }
        }
        Ok((key.to_owned(), self.value(values, found)?))
    }

    fn value(self, shape: &Shape, wire: Wire<'_>) -> Result<Value, DecodeError> {
        match shape {
            Shape::Message(message) => Ok(Value::Object(self.message(*message, wire.bytes()?)?)),
            Shape::List(_) | Shape::Map(_) => Err(DecodeError::Mismatch),
            Shape::Text => Ok(wire.text()?.into()),
            Shape::Flag => Ok((wire.number()? != 0).into()),
            Shape::Integer => Ok(value::integer(wire.number()?)),
            Shape::Bytes => Ok(value::bytes(wire.bytes()?)),
            Shape::Time => value::time(wire.bytes()?),
            Shape::MicroTime => value::micro_time(wire.bytes()?),
            Shape::Quantity => value::quantity(wire.bytes()?),
            Shape::IntOrString => value::int_or_string(wire.bytes()?),
            Shape::Raw => value::raw(wire.bytes()?),
            Shape::Names => value::names(wire.bytes()?),
        }
    }
}

/// Whether JSON would not have the field: Go sends zeros of all fields that are no pointers.
///
/// An empty object stays where Go writes a pointer to it, as in `emptyDir: {}`, or always writes it.
fn is_absent(field: &Field, value: &Value) -> bool {
    let zero = match value {
        Value::Null => return true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty() || (field.shape == Shape::Quantity && text == "0"),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
    };
    zero && field.presence == Presence::UnlessZero
}
