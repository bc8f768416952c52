//! `floe-controlplane`: API server, store, controllers and scheduler in one daemon.

fn main() {}
