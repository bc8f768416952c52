//! Types that have a form of their own in JSON.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use controlplane_api::time;
use jiff::Timestamp;
use serde_json::Value;

use crate::error::DecodeError;
use crate::wire::{Reader, Wire};

/// Numbers are two's complement, also those of 32 bits.
pub(crate) fn integer(number: u64) -> Value {
    number.cast_signed().into()
}

/// Bytes are base64 in JSON.
pub(crate) fn bytes(bytes: &[u8]) -> Value {
    BASE64_STANDARD.encode(bytes).into()
}

/// The bytes that base64 in JSON stands for; none where it is no such.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(text).ok()
}

/// A time of whole seconds; null for the message without fields, which is no time.
pub(crate) fn time(bytes: &[u8]) -> Result<Value, DecodeError> {
    instant(bytes, time::format)
}

/// A time of microseconds; null for the message without fields, which is no time.
pub(crate) fn micro_time(bytes: &[u8]) -> Result<Value, DecodeError> {
    instant(bytes, time::format_micro)
}

fn instant(bytes: &[u8], format: fn(Timestamp) -> String) -> Result<Value, DecodeError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut fields = Reader(bytes);
    while let Some((number, wire)) = fields.field()? {
        match number {
            1 => seconds = wire.number()?.cast_signed(),
            2 => nanos = i32::try_from(wire.number()?.cast_signed()).map_err(|_| DecodeError::Time)?,
            _ => {}
        }
    }
    let instant = Timestamp::new(seconds, nanos).map_err(|_| DecodeError::Time)?;
    Ok(format(instant).into())
}

/// A quantity is its text.
pub(crate) fn quantity(bytes: &[u8]) -> Result<Value, DecodeError> {
    let text = first(bytes)?.map(Wire::text).transpose()?.unwrap_or_default();
    Ok(if text.is_empty() { "0" } else { text }.into())
}

/// A number or a text, as the first of three fields says.
pub(crate) fn int_or_string(bytes: &[u8]) -> Result<Value, DecodeError> {
    let (mut is_text, mut number, mut text) = (false, 0, "");
    let mut fields = Reader(bytes);
    while let Some((field, wire)) = fields.field()? {
        match field {
            1 => is_text = wire.number()? == 1,
            2 => number = wire.number()?,
            3 => text = wire.text()?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { integer(number) })
}

/// JSON as bytes; null where there are none.
pub(crate) fn raw(bytes: &[u8]) -> Result<Value, DecodeError> {
    match first(bytes)?.map(Wire::bytes).transpose()? {
        None | Some([]) => Ok(Value::Null),
        Some(json) => serde_json::from_slice(json).map_err(|_| DecodeError::Json),
    }
}

/// The texts of a list that is a message of its own.
pub(crate) fn names(bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut names = Vec::new();
    let mut fields = Reader(bytes);
    while let Some((number, wire)) = fields.field()? {
        if number == 1 {
            names.push(wire.text()?.into());
        }
    }
    Ok(Value::Array(names))
}

/// Field 1 of a message; the last one, where it is repeated.
fn first(bytes: &[u8]) -> Result<Option<Wire<'_>>, DecodeError> {
    let mut found = None;
    let mut fields = Reader(bytes);
    while let Some((number, wire)) = fields.field()? {
        if number == 1 {
            found = Some(wire);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_json_has_them_and_the_empty_message_is_none() {
        assert_eq!(time(&[8, 1, 16, 0]).unwrap(), "1970-01-01T00:00:01Z");
        assert_eq!(
            micro_time(&[8, 1, 16, 0xe8, 7]).unwrap(),
            "1970-01-01T00:00:01.000001Z"
        );
        assert_eq!(time(&[]).unwrap(), Value::Null);
        let far = [8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(time(&far).unwrap_err(), DecodeError::Time);
    }

    #[test]
    fn a_port_is_the_number_or_the_name_that_its_type_says() {
        assert_eq!(
            int_or_string(&[8, 1, 16, 0, 26, 3, b'2', b'5', b'%']).unwrap(),
            "25%"
        );
        assert_eq!(int_or_string(&[8, 0, 16, 80, 26, 0]).unwrap(), 80);
    }

    #[test]
    fn negative_numbers_stay_negative() {
        assert_eq!(integer(u64::MAX), -1);
    }

    #[test]
    fn a_quantity_without_text_is_zero() {
        assert_eq!(quantity(&[]).unwrap(), "0");
        assert_eq!(quantity(&[10, 3, b'1', b'G', b'i']).unwrap(), "1Gi");
    }

    #[test]
    fn embedded_json_is_taken_in_and_must_be_json() {
        assert_eq!(raw(&[10, 2, b'{', b'}']).unwrap(), serde_json::json!({}));
        assert_eq!(raw(&[10, 1, b'{']).unwrap_err(), DecodeError::Json);
        assert_eq!(raw(&[]).unwrap(), Value::Null);
    }
}
