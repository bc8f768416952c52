//! A client's WebSocket, byte by byte: messages stay within their bound, and every dialect reads them without a panic.

#![no_main]

use std::io::{self, Cursor, Read, Write};

use agent_streams::channel::Form;
use agent_streams::remote_command::{Dialect, Sizes, WEBSOCKET, decode};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

const LARGEST: usize = 4096;

/// What a client says; what it is told goes nowhere.
struct Client<'a>(Cursor<&'a [u8]>);

impl Read for Client<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Client<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read(message: &Bytes) {
    for name in WEBSOCKET {
        let _ = decode(Dialect::of(name), message.clone());
    }
    for form in [Form::Binary, Form::Base64] {
        if let Some((channel, bytes)) = form.open(message.clone()) {
            let again = form.message(channel, &bytes);
            if channel < 0x50 {
                assert_eq!(form.open(again), Some((channel, bytes)));
            }
        }
    }
    let _ = Sizes::default().take(message);
}

fuzz_target!(|data: &[u8]| {
    read(&Bytes::copy_from_slice(data));
    let limits = WebSocketConfig::default()
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST));
    let client = Client(Cursor::new(data));
    let mut socket = WebSocket::from_raw_socket(client, Role::Server, Some(limits));
    while let Ok(message) = socket.read() {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            _ => continue,
        };
        assert!(bytes.len() <= LARGEST);
        read(&bytes);
    }
});
