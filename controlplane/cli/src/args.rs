//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use controlplane_machine::Keep;

use crate::access::Access;
use crate::cluster::{Cluster, ClusterName};
use crate::{backup, demo, down, image, kubeconfig, man, nodes, restore, server, shell, status, up, verbs};

/// Runs Kubernetes-compatible clusters whose pods are systemd units.
#[derive(Debug, Parser)]
#[command(
    name = "floe",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Args {
    /// The cluster of this host to work on, by the name that `up` gave it; `floe` where absent.
    #[arg(long, global = true, value_name = "CLUSTER", overrides_with = "name")]
    name: Option<ClusterName>,
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a cluster on this host and run a demo in it.
    Up(up::UpArgs),
    /// Stop a cluster and remove every trace of it.
    Down {
        /// Keep the cluster's state (objects, images), for the next `up`.
        #[arg(long)]
        keep: bool,
    },
    /// Show a cluster's nodes, daemons and pods.
    ///
    /// The exit code is 0 where the cluster runs, 3 where it is stopped, 4 where there is none of this name, as that of
    /// `systemctl status`; 1 where the cluster runs and does not answer.
    Status,
    /// Print the administrator's kubeconfig.
    Kubeconfig,
    /// Open a shell on a node, or run a command there.
    Shell {
        /// The node's name, as `floe status` shows it.
        node: String,
        /// The command and its arguments; a login shell where absent.
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Add and remove nodes, and make them fail as machines do.
    #[command(subcommand)]
    Node(nodes::NodeCommand),
    /// Work with the images on the cluster's nodes.
    #[command(subcommand)]
    Image(ImageCommand),
    #[command(flatten)]
    Verb(verbs::Verb),
    /// Write the whole cluster's state into one SQLite file, while it runs.
    Backup(backup::BackupArgs),
    /// Make the state of a new cluster from a backup.
    Restore(restore::RestoreArgs),
    /// Work with servers and their state.
    #[command(subcommand)]
    Server(server::ServerCommand),
    /// Print the completion script for a shell.
    Completion {
        /// The shell, such as bash, fish or zsh.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder.
    Man {
        /// The folder; it must exist.
        folder: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    /// Load an OCI archive, or a folder in OCI layout, onto every node.
    Load {
        /// The archive or folder.
        source: PathBuf,
    },
    /// Build the demo's nginx image from Debian packages as an OCI archive.
    Demo {
        /// Where to write the archive.
        archive: PathBuf,
    },
}

impl Args {
    /// Runs the command and returns the process's exit code.
    ///
    /// # Errors
    ///
    /// What the command could not do, with its cause.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let access = self.access;
        let named = self.name.is_some();
        let cluster = Cluster::new(self.name.unwrap_or_default());
        match self.command {
            Command::Up(options) => Box::pin(up::run(&cluster, &options)).await?,
            Command::Down { keep } => down::run(&cluster, if keep { Keep::State } else { Keep::Nothing })?,
            Command::Status => return status::run(&cluster).await,
            Command::Kubeconfig => kubeconfig::run(&cluster).await?,
            Command::Shell { node, command } => return shell::run(&cluster, &node, &command),
            Command::Node(command) => Box::pin(nodes::run(&cluster, command)).await?,
            Command::Image(ImageCommand::Load { source }) => image::load(&cluster, &source)?,
            Command::Image(ImageCommand::Demo { archive }) => demo::export(&archive)?,
            Command::Verb(verb) => {
                let client = access.client(&cluster, named).await?;
                Box::pin(verbs::run(client, verb, verbs::Output::stdout())).await?;
            }
            Command::Backup(args) => {
                let client = access.client(&cluster, named).await?;
                let said = Box::pin(backup::run(&client, &args)).await?;
                verbs::Output::stdout().line(&said)?;
            }
            Command::Restore(args) => {
                let said = Box::pin(restore::run(&args)).await?;
                verbs::Output::stdout().line(&said)?;
            }
            Command::Server(command) => {
                let reach = || access.client(&cluster, named);
                Box::pin(server::run(command, reach)).await?;
            }
            Command::Completion { shell } => {
                clap_complete::generate(shell, &mut Self::command(), "floe", &mut std::io::stdout());
            }
            Command::Man { folder } => man::write(Self::command(), &folder)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
