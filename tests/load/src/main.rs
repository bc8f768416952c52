//! Puts one kind of load on one store and prints what came of it as a line of JSON.

mod etcd;
mod floe;
mod group;
mod target;
mod work;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser};

use crate::etcd::Etcd;
use crate::floe::Floe;
use crate::target::Target;
use crate::work::Work;

#[derive(Debug, Parser)]
struct Flags {
    #[command(flatten)]
    place: Place,
    /// Servers of Floe's store: this process is the leader, each other is a process of its own.
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "floe", value_parser = clap::value_parser!(u64).range(1..=7))]
    servers: u64,
    #[command(subcommand)]
    work: Work,
}

/// The store under load.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// Floe's store in this folder, opened by this process, as the API server opens it.
    #[arg(long, value_name = "FOLDER")]
    floe: Option<PathBuf>,
    /// etcd at this address, such as `http://127.0.0.1:2379`.
    #[arg(long, value_name = "URL")]
    etcd: Option<String>,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match (&flags.place.floe, &flags.place.etcd) {
            (Some(folder), _) => match &flags.work {
                Work::Follow { id, cluster } => group::follow(folder, *id, cluster).await,
                work => run(Floe::open(folder, flags.servers).await?, work).await,
            },
            (None, url) => run(Etcd::at(url.as_deref().unwrap_or_default())?, &flags.work).await,
        }
    })
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
async fn run(target: impl Target, work: &Work) -> Result<()> {
    println!("{}", work.run(&target).await?);
    target.close().await;
    Ok(())
}
