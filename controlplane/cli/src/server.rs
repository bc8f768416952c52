//! `floe server`: the servers of a cluster and their state.

mod add;
mod change;
pub(crate) mod group;

use std::path::PathBuf;

use kube::Client;

use crate::snapshot;
use crate::verbs::{self, Format, GetArgs, Output, Verb};

/// What can be done with servers.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ServerCommand {
    /// Show the servers: who leads, who votes, who is behind.
    List {
        /// How to print.
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Tell what to do on a new machine so that its server joins.
    Add(add::AddArgs),
    /// Remove a server from the cluster, and tell what to do on its machine.
    Remove {
        /// The server's name, as `floe server list` shows it.
        server: String,
        /// Also where fewer than a majority of those left are up: nothing can then be written until they are.
        #[arg(long)]
        force: bool,
    },
    /// See to it that a server votes, or tell why it does not yet.
    Promote {
        /// The server's name.
        server: String,
        /// Wait until it has caught up and votes.
        #[arg(long)]
        wait: bool,
    },
    /// Have another server lead, as before work on the machine of the one that does.
    Handover {
        /// The server that is to lead; one that is up and has caught up where absent.
        to: Option<String>,
    },
    /// Tell where the token lies with which servers join, or replace it.
    Token {
        /// Replace it on all servers: the old one lets nobody in any more.
        #[arg(long)]
        rotate: bool,
    },
    /// Look into backups and state files.
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
}

/// What can be done with a file of state.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Check a backup row by row, and tell what is inside, by kind and size.
    Inspect {
        /// The backup.
        file: PathBuf,
        /// How to print.
        #[arg(short, long, value_enum, default_value_t)]
        output: snapshot::Form,
    },
    /// Turn the state file of a stopped server into one that the release before this one reads; history is lost.
    Downgrade {
        /// The file, such as /var/lib/floe/controlplane/store.db.
        file: PathBuf,
    },
}

/// Carries `command` out, on the cluster that `reach` gives a client of.
///
/// # Errors
///
/// What could not be done, and why.
pub(crate) async fn run(
    command: ServerCommand,
    reach: impl AsyncFn() -> anyhow::Result<Client>,
) -> anyhow::Result<()> {
    let mut out = Output::stdout();
    match command {
        ServerCommand::List { output } => {
            let get = Verb::Get(GetArgs::all_of("servers", output));
            Box::pin(verbs::run(reach().await?, get, out)).await
        }
        ServerCommand::Add(args) => Box::pin(add::run(&reach().await?, &args, &mut out)).await,
        ServerCommand::Remove { server, force } => {
            Box::pin(change::remove(&reach().await?, &server, force, &mut out)).await
        }
        ServerCommand::Promote { server, wait } => {
            Box::pin(change::promote(&reach().await?, &server, wait, &mut out)).await
        }
        ServerCommand::Handover { to } => {
            Box::pin(change::hand_over(&reach().await?, to.as_deref(), &mut out)).await
        }
        ServerCommand::Token { rotate } => Box::pin(add::token(&reach().await?, rotate, &mut out)).await,
        ServerCommand::Snapshot(SnapshotCommand::Inspect { file, output }) => {
            snapshot::inspect(&file, output)
        }
        ServerCommand::Snapshot(SnapshotCommand::Downgrade { file }) => snapshot::downgrade(&file),
    }
}
