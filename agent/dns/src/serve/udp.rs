//! Datagrams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::admission::Admission;
use crate::packet::Transport;
use crate::resolve::{Begun, Resolver, Waiting};

/// Questions that may wait for upstreams at once, and those of one client among them.
const MOST_WAITING: usize = 1024;
const MOST_WAITING_EACH: usize = 256;
/// Pause after an error of the socket itself, so that a lasting one does not spin.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers what arrives at `socket` until `stop`. What is in memory is answered from this task, in
/// order; what needs an upstream waits in a task of its own.
pub(crate) async fn serve(socket: UdpSocket, resolver: Arc<Resolver>, stop: CancellationToken) {
    let socket = Arc::new(socket);
    let admission = Admission::new(MOST_WAITING, MOST_WAITING_EACH);
    let mut waiting = JoinSet::new();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        tokio::select! {
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => return,
            // Cancel-safe: a datagram is taken only when this returns.
            received = socket.recv_from(&mut buffer) => match received {
                Ok((length, client)) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    match resolver.begin(bytes, Transport::Udp) {
                        Begun::Answer(answer) => send(&socket, &answer, client, &resolver),
                        Begun::Drop => {}
                        Begun::Wait(question) => match admission.enter(client.ip()) {
                            None => resolver.counts.dropped.add(),
                            Some(place) => {
                                let (socket, resolver) = (Arc::clone(&socket), Arc::clone(&resolver));
                                waiting.spawn(async move {
                                    answer_later(&socket, &resolver, question, client).await;
                                    drop(place);
                                });
                            }
                        },
                    }
                }
                Err(error) => {
                    debug!(error = &error as &dyn std::error::Error, "datagram not received");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            // Cancel-safe: an ended task that was not taken is taken next time.
            Some(_) = waiting.join_next() => {}
        }
    }
}

async fn answer_later(socket: &UdpSocket, resolver: &Resolver, question: Box<Waiting>, client: SocketAddr) {
    let (answer, rest) = resolver.finish(question).await;
    send(socket, &answer, client, resolver);
    if let Some(rest) = rest {
        rest.await;
    }
}

/// Sends without waiting: where the kernel's queue is full the client asks again.
fn send(socket: &UdpSocket, answer: &[u8], client: SocketAddr, resolver: &Resolver) {
    if let Err(error) = socket.try_send_to(answer, client) {
        resolver.counts.dropped.add();
        debug!(error = &error as &dyn std::error::Error, %client, "answer not sent");
    }
}
