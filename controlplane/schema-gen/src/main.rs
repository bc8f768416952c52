//! Generates the schema tables from the published Kubernetes schemas.
//!
//! The input is `_definitions.json` of the JSON schemas that the PyPI package `kubernetes-validate`
//! ships (`kubernetes_validate/kubernetes-json-schema/v1.36.0-local/`); descriptions are left behind.
//! To make the table anew, or to see whether it is what the generator makes:
//!
//! ```text
//! cargo run -p controlplane-schema-gen -- _definitions.json --out controlplane/schema/kubernetes.table
//! cargo run -p controlplane-schema-gen -- _definitions.json --out controlplane/schema/kubernetes.table --check
//! ```

mod input;
mod render;
mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use controlplane_schema_gen::Output;

/// Makes the schema table of the Kubernetes kinds from their published JSON schemas.
#[derive(Debug, Parser)]
#[command(name = "schema-gen", version)]
struct Flags {
    /// The published `_definitions.json`.
    input: PathBuf,
    #[command(flatten)]
    output: Output,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let json = fs::read(&flags.input).with_context(|| format!("read {}", flags.input.display()))?;
    let table = table::generate(&json).with_context(|| format!("read {}", flags.input.display()))?;
    flags.output.settle(&table)
}
