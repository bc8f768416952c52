//! `floe-agent`: registers the node and runs the pods bound to it.

fn main() {}
