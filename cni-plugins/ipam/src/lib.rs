//! `host-local`: addresses from ranges, reserved in files.
