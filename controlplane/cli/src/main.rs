//! `floe`: the operator's command.

fn main() {}
