//! Flags and subcommands.

use std::io::Write as _;
use std::path::PathBuf;

use agent_images::{ImageStore, Keyring, Puller, Settings};
use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::config::Config;

/// Runs the pods bound to this node as systemd units.
#[derive(Debug, Parser)]
#[command(name = "floe-agent", version)]
pub(crate) struct Args {
    /// Configuration file.
    #[arg(long, default_value = "/etc/floe/agent.toml", global = true)]
    config: PathBuf,
    /// Check the configuration and exit.
    #[arg(long)]
    check: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Works on the node's image store.
    #[command(subcommand)]
    Image(ImageCommand),
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    /// Loads the images of an OCI archive or layout folder.
    Load {
        /// The archive (tar, tar.gz) or folder.
        archive: PathBuf,
    },
    /// Lists the images of the store.
    List,
    /// Pulls an image, by registries.toml and with its credentials.
    Pull {
        /// Name of the image.
        image: String,
    },
    /// Takes an image's name away, also one that was loaded; its layers go when the disk runs full.
    Rm {
        /// Name or ID of the image.
        image: String,
    },
}

/// Does what the command line asks for.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::load(&args.config)?;
    if args.check {
        Settings::load(&config.registries_file)?;
        return Ok(());
    }
    match args.command {
        None => serve(config),
        Some(Command::Image(ImageCommand::Load { archive })) => load(&config, &archive),
        Some(Command::Image(ImageCommand::List)) => list(&config),
        Some(Command::Image(ImageCommand::Pull { image })) => pull(&config, &image),
        Some(Command::Image(ImageCommand::Rm { image })) => remove(&config, &image),
    }
}

fn serve(config: Config) -> anyhow::Result<()> {
    controlplane_log::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .enable_all()
        .build()
        .context("start the async runtime")?;
    runtime.block_on(crate::agent::run(config))
}

fn store(config: &Config) -> anyhow::Result<ImageStore> {
    Ok(ImageStore::open(config.image_dir())?)
}

fn load(config: &Config, archive: &std::path::Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for image in store(config)?.load(archive)? {
        writeln!(out, "{} {}", image.reference, image.id)?;
    }
    Ok(())
}

fn list(config: &Config) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for image in store(config)?.list()? {
        let names = if image.repo_tags.is_empty() {
            image.reference
        } else {
            image.repo_tags.join(",")
        };
        writeln!(out, "{names} {} {}", image.id, image.size)?;
    }
    Ok(())
}

fn pull(config: &Config, image: &str) -> anyhow::Result<()> {
    let puller = Puller::new(store(config)?, config.registries_file.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the async runtime")?;
    let pulled = runtime.block_on(puller.pull(image, &Keyring::default()))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} {}", pulled.image.reference, pulled.image.id)?;
    Ok(())
}

fn remove(config: &Config, image: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        store(config)?.remove(image)?,
        "no image of the store has the name {image}; `floe-agent image list` shows them"
    );
    Ok(())
}

/// Says on standard error what failed, with its causes.
pub(crate) fn complain(error: &anyhow::Error) {
    // Nothing is left to do where standard error is closed.
    drop(writeln!(
        std::io::stderr(),
        "floe-agent: {}",
        crate::full_disk::chain(error)
    ));
}
