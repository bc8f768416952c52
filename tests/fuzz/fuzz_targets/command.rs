//! Any bytes are a command that encodes as it was, or an error.
#![no_main]

use controlplane_store::Command;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(command) = Command::decode(bytes) {
        assert_eq!(Command::decode(&command.encode()).expect("it was just written"), command);
    }
});
