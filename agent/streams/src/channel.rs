//! Channels within a WebSocket: each message begins with the number of its channel.
//!
//! Source: apimachinery, `pkg/util/httpstream/wsstream`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{BufMut, Bytes, BytesMut};

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Binary messages; the first byte is the channel's number.
    Binary,
    /// Text messages for clients without binary ones; the first character is the channel's digit, base64 follows.
    Base64,
}

impl Form {
    /// `bytes` as a message of `channel`. In base64, channels beyond 9 have no digit of their own: the characters
    /// that follow `9` in ASCII stand for them, as upstream has it.
    #[must_use]
    pub fn message(self, channel: u8, bytes: &[u8]) -> Bytes {
        match self {
            Self::Binary => {
                let mut message = BytesMut::with_capacity(bytes.len().saturating_add(1));
                message.put_u8(channel);
                message.put_slice(bytes);
                message.freeze()
            }
            Self::Base64 => {
                let mut message = String::with_capacity(bytes.len().saturating_mul(4) / 3 + 5);
                message.push(char::from(channel.saturating_add(b'0') & 0x7f));
                BASE64_STANDARD.encode_string(bytes, &mut message);
                message.into()
            }
        }
    }

    /// The channel of a message, and what it says; `None` for what is no message.
    #[must_use]
    pub fn open(self, mut message: Bytes) -> Option<(u8, Bytes)> {
        if message.is_empty() {
            return None;
        }
        let first = *message.split_to(1).first()?;
        match self {
            Self::Binary => Some((first, message)),
            Self::Base64 => {
                let channel = first.checked_sub(b'0')?;
                Some((channel, BASE64_STANDARD.decode(&message).ok()?.into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_begins_with_its_channel() {
        assert_eq!(Form::Binary.message(1, b"hi").as_ref(), b"\x01hi");
        assert_eq!(Form::Binary.message(2, b"").as_ref(), b"\x02");
        assert_eq!(Form::Base64.message(1, b"hi").as_ref(), b"1aGk=");
        assert_eq!(Form::Base64.message(3, b"").as_ref(), b"3");
    }

    #[test]
    fn what_is_no_message_is_none() {
        assert_eq!(Form::Binary.open(Bytes::new()), None);
        for message in ["", "/aGk=", "0a", "0*"] {
            assert_eq!(
                Form::Base64.open(Bytes::from_static(message.as_bytes())),
                None,
                "{message}"
            );
        }
    }

    proptest! {
        #[test]
        fn messages_are_opened_as_they_were_made(bytes in proptest::collection::vec(any::<u8>(), 0..200), channel in 0_u8..70) {
            for form in [Form::Binary, Form::Base64] {
                let opened = form.open(form.message(channel, &bytes));
                prop_assert_eq!(opened, Some((channel, Bytes::from(bytes.clone()))));
            }
        }
    }
}
