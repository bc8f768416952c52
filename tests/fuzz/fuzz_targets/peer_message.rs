//! Any bytes are a message between servers, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let read = controlplane_raft::can_read_message(bytes);
    std::hint::black_box(read);
});
