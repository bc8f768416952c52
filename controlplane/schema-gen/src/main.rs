//! Generates the schema tables from the published Kubernetes schemas.

fn main() {}
