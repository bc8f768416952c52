//! Puts one kind of load on an API server, over TLS as its clients do, and prints what came of it as a line of JSON.

mod figures;
mod lists;
mod objects;
mod server;
mod verbs;
mod watches;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde_json::Value;

use crate::server::Server;

#[derive(Debug, Parser)]
struct Flags {
    /// Credentials and address of the server.
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    #[command(subcommand)]
    work: Work,
}

/// One kind of load.
#[derive(Debug, Subcommand)]
enum Work {
    /// One verb on `ConfigMaps` of 1 KiB, each client one request after the other on a connection of its own.
    Verb(verbs::Load),
    /// Creates objects and leaves them.
    Fill(objects::Fill),
    /// Lists all objects of a kind, again and again.
    List(lists::Load),
    /// One writer, many watchers.
    Watch(watches::Load),
}

impl Work {
    async fn run(&self, server: &Server) -> Result<Value> {
        match self {
            Self::Verb(load) => load.run(server).await,
            Self::Fill(fill) => fill.run(server).await,
            Self::List(load) => load.run(server).await,
            Self::Watch(load) => load.run(server).await,
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn main() -> Result<()> {
    let flags = Flags::parse();
    let server = Server::read(&flags.kubeconfig)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("{}", runtime.block_on(flags.work.run(&server))?);
    Ok(())
}
