//! Any text is a token that leads to a key of its own list, or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(key) = controlplane_apiserver::continue_key(text, "/registry/pods/") {
        assert!(key.starts_with("/registry/pods/"), "{key}");
    }
});
