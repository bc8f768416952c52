//! `floe server`: the servers of a cluster and their state.

use std::path::PathBuf;

use crate::snapshot;

/// What can be done with servers.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ServerCommand {
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

/// Carries `command` out.
///
/// # Errors
///
/// What could not be done, and why.
pub(crate) fn run(command: ServerCommand) -> anyhow::Result<()> {
    match command {
        ServerCommand::Snapshot(SnapshotCommand::Inspect { file, output }) => {
            snapshot::inspect(&file, output)
        }
        ServerCommand::Snapshot(SnapshotCommand::Downgrade { file }) => snapshot::downgrade(&file),
    }
}
