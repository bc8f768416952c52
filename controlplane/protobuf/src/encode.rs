//! Objects in their protobuf form, written field by field as their JSON is read: nothing is held but the output.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::table::{Field, MessageId, Shape, Table};
use crate::write::{close, nested, number, open, text};

/// Appends the message of the JSON object `json`.
pub(crate) fn message(
    table: &'static Table,
    message: MessageId,
    json: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let object = Object { table, message, out };
    object.deserialize(&mut reader)?;
    reader.end()
}

/// Reads an object into the fields of a message.
struct Object<'o> {
    table: &'static Table,
    message: MessageId,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { table, message, out } = self;
        while let Some(place) = members.next_key_seed(Name { table, message })? {
            let Some((levels, field)) = place else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            within(&levels, out, |out| {
                members.next_value_seed(Member {
                    table,
                    shape: &field.shape,
                    tag: field.number,
                    out,
                })
            })?;
        }
        Ok(())
    }
}

/// Writes inside of the messages that JSON has no level for. A message that comes several times is one message, merged
/// (protobuf.dev, "Last One Wins"), so that each of its members may have its own.
fn within<T>(levels: &[u64], out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let starts: Vec<usize> = levels.iter().map(|tag| open(*tag, out)).collect();
    let done = write(out);
    starts.into_iter().rev().for_each(|start| close(start, out));
    done
}

/// Reads the name of a member; none for one that the table does not have.
struct Name {
    table: &'static Table,
    message: MessageId,
}

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<(Vec<u64>, &'static Field)>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<(Vec<u64>, &'static Field)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.table.place(self.message, name))
    }
}

/// Reads the value of a member into a field; null is no field.
struct Member<'o> {
    table: &'static Table,
    shape: &'static Shape,
    tag: u64,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        if *self.shape == Shape::Raw {
            let json = <&RawValue>::deserialize(reader)?.get();
            if json != "null" {
                nested(self.tag, self.out, |out| text(1, json.as_bytes(), out));
            }
            return Ok(());
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.shape {
            Shape::Text => "a string",
            Shape::Bytes => "a string of base64",
            Shape::Flag => "true or false",
            Shape::Integer => "a whole number",
            Shape::Time | Shape::MicroTime => "a time",
            Shape::Quantity => "a quantity",
            Shape::IntOrString => "a whole number or a string",
            Shape::Raw => "JSON",
            Shape::Names | Shape::List(_) => "a list",
            Shape::Message(_) | Shape::Map(_) => "an object",
        })
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        if *self.shape != Shape::Flag {
            return Err(E::invalid_type(serde::de::Unexpected::Bool(flag), &self));
        }
        number(self.tag, flag.into(), self.out);
        Ok(())
    }

    fn visit_u64<E: Error>(self, found: u64) -> Result<(), E> {
        self.visit_i64(found.cast_signed())
    }

    fn visit_i64<E: Error>(self, found: i64) -> Result<(), E> {
        match self.shape {
            Shape::Integer => number(self.tag, found.cast_unsigned(), self.out),
            Shape::IntOrString => nested(self.tag, self.out, |out| {
                number(1, 0, out);
                number(2, found.cast_unsigned(), out);
            }),
            Shape::Quantity => return self.visit_str(&found.to_string()),
            _ => return Err(E::invalid_type(serde::de::Unexpected::Signed(found), &self)),
        }
        Ok(())
    }

    fn visit_f64<E: Error>(self, found: f64) -> Result<(), E> {
        match self.shape {
            Shape::Quantity => self.visit_str(&found.to_string()),
            _ => Err(E::invalid_type(serde::de::Unexpected::Float(found), &self)),
        }
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<(), E> {
        let Self { tag, shape, out, .. } = self;
        let wrong = || E::custom(format!("{found:?} is no value of this field"));
        match shape {
            Shape::Text => text(tag, found.as_bytes(), out),
            Shape::Bytes => {
                let bytes = crate::value::from_base64(found).ok_or_else(wrong)?;
                text(tag, &bytes, out);
            }
            Shape::Quantity => nested(tag, out, |out| text(1, found.as_bytes(), out)),
            Shape::IntOrString => nested(tag, out, |out| {
                number(1, 1, out);
                text(3, found.as_bytes(), out);
            }),
            Shape::Time | Shape::MicroTime => {
                let instant: Timestamp = found.parse().map_err(|_| wrong())?;
                nested(tag, out, |out| time(instant, out));
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<(), A::Error> {
        let Self {
            table,
            shape,
            tag,
            out,
        } = self;
        match shape {
            Shape::List(items) => each(elements, (table, items, tag), out),
            Shape::Names => nested(tag, out, |out| each(elements, (table, &Shape::Text, 1), out)),
            _ => Err(A::Error::custom("a list where the field has none")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self {
            table,
            shape,
            tag,
            out,
        } = self;
        match shape {
            Shape::Message(message) => nested(tag, out, |out| {
                let message = *message;
                Object { table, message, out }.visit_map(members)
            }),
            Shape::Map(values) => {
                while let Some(key) = members.next_key::<String>()? {
                    nested(tag, out, |out| {
                        text(1, key.as_bytes(), out);
                        members.next_value_seed(Member {
                            table,
                            shape: values,
                            tag: 2,
                            out,
                        })
                    })?;
                }
                Ok(())
            }
            _ => Err(A::Error::custom("an object where the field has none")),
        }
    }
}

/// Reads the elements of a list, each into a field of its own.
fn each<'de, A: SeqAccess<'de>>(
    mut elements: A,
    (table, shape, tag): (&'static Table, &'static Shape, u64),
    out: &mut Vec<u8>,
) -> Result<(), A::Error> {
    loop {
        let member = Member {
            table,
            shape,
            tag,
            out: &mut *out,
        };
        if elements.next_element_seed(member)?.is_none() {
            return Ok(());
        }
    }
}

/// Whole seconds and the nanoseconds after them, also before 1970.
fn time(instant: Timestamp, out: &mut Vec<u8>) {
    const SECOND: i128 = 1_000_000_000;
    let all = instant.as_nanosecond();
    let seconds = i64::try_from(all.div_euclid(SECOND)).unwrap_or_default();
    let nanos = u64::try_from(all.rem_euclid(SECOND)).unwrap_or_default();
    number(1, seconds.cast_unsigned(), out);
    number(2, nanos, out);
}
