//! `floe-cni`: every plugin in one multi-call binary.

fn main() {}
