//! Claims about containers under a real systemd; run inside a machine that has crun, busybox and
//! `floe-run`, with `floe-mounts.service` started. The argument is the path of `floe-run`.

#![expect(clippy::print_stdout, reason = "its output is for who runs it")]

mod claims;
mod held;
mod live;
mod node;
mod pods;

use std::error::Error;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let floe_run = std::env::args().nth(1).ok_or("usage: machine FLOE_RUN [CLAIM]")?;
    let node = node::Node::new(&floe_run).await?;
    Box::pin(claims::run(&node, std::env::args().nth(2).as_deref())).await
}
