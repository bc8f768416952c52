//! SPDY frames of a client, cut anywhere: nothing panics, and what was read is written and read again as it was.

#![no_main]

use agent_streams::spdy::{Decoder, Encoder, Frame};
use libfuzzer_sys::fuzz_target;

fn frames(wire: &[u8], piece: usize) -> Vec<Frame> {
    let mut decoder = Decoder::new();
    let mut read = Vec::new();
    for bytes in wire.chunks(piece) {
        decoder.feed(bytes);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => read.push(frame),
                Ok(None) => break,
                Err(_) => return read,
            }
        }
    }
    read
}

fuzz_target!(|data: &[u8]| {
    let Some((piece, wire)) = data.split_first() else {
        return;
    };
    let read = frames(wire, usize::from(*piece).max(1));
    assert_eq!(frames(wire, wire.len().max(1)), read);
    let mut encoder = Encoder::new().expect("compression is at hand");
    // Kinds without meaning lose what they held.
    let known = read.iter().filter(|frame| !matches!(frame, Frame::Other(_)));
    let known: Vec<Frame> = known.cloned().collect();
    let mut again = Vec::new();
    for frame in &known {
        again.extend_from_slice(&encoder.encode(frame).expect("a frame that was read can be written"));
    }
    assert_eq!(frames(&again, again.len().max(1)), known);
});
