//! `floe`: the operator's command.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

mod access;
mod args;
mod backup;
mod client;
mod cluster;
mod demo;
mod down;
mod host;
mod image;
mod kubeconfig;
mod man;
mod nodes;
mod progress;
mod restore;
mod server;
mod shell;
mod snapshot;
mod status;
mod token;
mod up;
mod verbs;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = args::Args::parse();
    match Box::pin(args.run()).await {
        Ok(code) => code,
        Err(err) => {
            report(&err);
            ExitCode::FAILURE
        }
    }
}

/// Prints the error and its causes as one sentence.
#[expect(clippy::print_stderr, reason = "the command's own words to its user")]
fn report(err: &anyhow::Error) {
    let label = if std::io::stderr().is_terminal() {
        "\x1b[31merror:\x1b[0m"
    } else {
        "error:"
    };
    eprintln!("{label} {err:#}");
}
