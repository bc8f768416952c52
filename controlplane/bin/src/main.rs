//! `floe-controlplane`: API server, store, controllers and scheduler in one daemon.

mod backups;
mod config;
mod identities;
mod joining;
mod leading;
mod metrics;
mod run;
mod servers;
mod storage;
mod supervisor;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// What requests allocate is mostly of 1 to 16 KiB, beyond the caches of glibc's threads, and its arenas ask the kernel for
/// each page while the state is loaded: creates and the start take less processor time with this one.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// API server, store, controllers and scheduler of a Floe cluster.
#[derive(Debug, Parser)]
#[command(name = "floe-controlplane", version)]
struct Arguments {
    /// Configuration file.
    #[arg(long, value_name = "FILE", default_value = "/etc/floe/controlplane.toml")]
    config: PathBuf,
    /// Check the configuration file and exit.
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match start(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if even this fails.
            writeln!(std::io::stderr(), "floe-controlplane: {error:#}").unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: &Arguments) -> anyhow::Result<()> {
    let config = config::load(&arguments.config)?;
    if arguments.check {
        return Ok(());
    }
    controlplane_log::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run::run(config))
}
