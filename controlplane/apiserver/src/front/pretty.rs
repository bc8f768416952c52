//! JSON indented as Go's `MarshalIndent` does, piece by piece.

use bytes::Bytes;

/// What has been read so far of a text of JSON.
#[derive(Debug, Default)]
pub(super) struct Pretty {
    depth: usize,
    /// The last token opened an object or list, which may be empty.
    opened: bool,
    in_text: bool,
    escaped: bool,
}

impl Pretty {
    /// The next piece, indented.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(bytes.len() * 2);
        for byte in bytes {
            match self.in_text {
                true => self.push_text(*byte, &mut out),
                false => self.push_token(*byte, &mut out),
            }
        }
        Bytes::from(out)
    }

    fn push_text(&mut self, byte: u8, out: &mut Vec<u8>) {
        out.push(byte);
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_text = false,
            _ => {}
        }
    }

    fn push_token(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte.is_ascii_whitespace() {
            return;
        }
        let closes = matches!(byte, b'}' | b']');
        if closes {
            self.depth = self.depth.saturating_sub(1);
        }
        // Between the brackets of what is empty there is nothing.
        if std::mem::take(&mut self.opened) != closes {
            self.new_line(out);
        }
        out.push(byte);
        match byte {
            b'{' | b'[' => {
                self.depth += 1;
                self.opened = true;
            }
            b',' => self.new_line(out),
            b':' => out.push(b' '),
            b'"' => self.in_text = true,
            _ => {}
        }
    }

    fn new_line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.extend(std::iter::repeat_n(b' ', self.depth * 2));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!({})),
            Just(json!([])),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[ -~é\\\\\"{}\\[\\],:]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"]{1,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// serde's pretty printer writes as Go's, and pieces may end anywhere.
        #[test]
        fn text_in_any_pieces_is_indented_as_a_whole(value in value(), cut in 1_usize..40) {
            let text = value.to_string();
            let mut pretty = Pretty::default();
            let pieces = text.as_bytes().chunks(cut).flat_map(|piece| pretty.push(piece).to_vec());
            let found = String::from_utf8(pieces.collect()).unwrap();
            prop_assert_eq!(found, serde_json::to_string_pretty(&value).unwrap());
        }
    }
}
