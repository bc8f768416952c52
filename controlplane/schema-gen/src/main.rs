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

use anyhow::{Context, Result, ensure};
use clap::Parser;

/// Makes the schema table of the Kubernetes kinds from their published JSON schemas.
#[derive(Debug, Parser)]
#[command(name = "schema-gen", version)]
struct Flags {
    /// The published `_definitions.json`.
    input: PathBuf,
    /// The table to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write nothing; fail when the table is not what the input makes.
    #[arg(long)]
    check: bool,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let json = fs::read(&flags.input).with_context(|| format!("read {}", flags.input.display()))?;
    let table = table::generate(&json).with_context(|| format!("read {}", flags.input.display()))?;
    let out = flags.out.display();
    if flags.check {
        let current = fs::read_to_string(&flags.out).with_context(|| format!("read {out}"))?;
        ensure!(
            current == table,
            "{out} is stale: run schema-gen without --check and commit the result"
        );
        return Ok(());
    }
    fs::write(&flags.out, table).with_context(|| format!("write {out}"))
}
