//! Any bytes are a record within them, or none.
#![no_main]

use controlplane_wal::{Decoded, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u32, &[u8])| {
    let (seed, bytes) = input;
    if let Decoded::Record { payload, size, .. } = decode(seed, bytes) {
        assert!(payload.start <= payload.end && payload.end <= size && size <= bytes.len());
    }
});
