//! `floe-agent`: registers the node and runs the pods bound to it.

mod access;
mod agent;
mod attach;
mod cli;
mod clock;
mod config;
mod dns;
mod events;
mod full_disk;
mod host_ports;
mod identity;
mod image_gc;
mod libexec;
mod network;
mod node;
mod objects;
mod pods;
mod proxy;
mod pulls;
mod servers;
mod tokens;
mod volumes;
mod wake;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = cli::Args::parse();
    match cli::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}
