//! `health PORT SECONDS`: a gRPC server whose health service serves for so long, then says that it does
//! not; and an answer to each UDP packet on that port: its text and a bang. Machine tests run it in pods.

use std::time::Duration;

use anyhow::{Context, Result};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;
use tonic_health::ServingStatus;
use tower::ServiceExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let mut number = || words.next().and_then(|word| word.parse::<u16>().ok());
    let (port, seconds) = number().zip(number()).context("usage: health PORT SECONDS")?;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", ServingStatus::Serving).await;
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        tokio::time::sleep(Duration::from_secs(seconds.into())).await;
        reporter.set_service_status("", ServingStatus::NotServing).await;
    });
    tasks.spawn(echo(UdpSocket::bind(("0.0.0.0", port)).await?));
    loop {
        let (stream, _) = listener.accept().await?;
        let health = health.clone();
        let answer = service_fn(move |request| health.clone().oneshot(request));
        tasks.spawn(async move {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            // A prober hangs up when it has its answer.
            drop(server.serve_connection(TokioIo::new(stream), answer).await);
        });
        while tasks.try_join_next().is_some() {}
    }
}

async fn echo(socket: UdpSocket) {
    let mut text = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut text).await {
        let said = text.get(..length).unwrap_or_default().trim_ascii_end();
        // A client that is gone by now asks again, or does not.
        drop(socket.send_to(&[said, b"!\n"].concat(), from).await);
    }
}
