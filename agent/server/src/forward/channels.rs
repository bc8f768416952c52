//! Port-forward by channels of a WebSocket: two for each port that the query names, connected at once.
//!
//! Source: kubelet, `pkg/cri/streaming/portforward/websocket.go`.

use agent_streams::channel::Form;
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::queue::{Inlet, queue};
use super::relay::{Relay, STALL};
use super::voice::Voice;
use crate::access::PodNetwork;
use crate::query::Pairs;
use crate::refusal::Refusal;
use crate::wire::{self, Gone, Incoming, Link, Outbox};

/// Ports of one WebSocket.
const MAX_PORTS: usize = 32;

/// The ports that the query names, by `port=80&port=81` or `port=80,81`.
///
/// # Errors
///
/// 400 in upstream's words.
pub(crate) fn ports(pairs: &Pairs) -> Result<Vec<u16>, Refusal> {
    let mut ports = Vec::new();
    for (_, text) in pairs.iter().filter(|(name, _)| name == "port") {
        if text.is_empty() {
            return Err(Refusal::bad_request("query parameter \"port\" cannot be empty"));
        }
        for one in text.split(',') {
            let port: u16 = one.parse().map_err(|error| {
                Refusal::bad_request(format!("unable to parse \"{text}\" as a port: {error}"))
            })?;
            if port == 0 {
                return Err(Refusal::bad_request(format!("port \"{text}\" must be > 0")));
            }
            ports.push(port);
        }
    }
    match ports.len() {
        0 => Err(Refusal::bad_request("query parameter \"port\" is required")),
        1..=MAX_PORTS => Ok(ports),
        count => Err(Refusal::bad_request(format!(
            "{count} ports are asked for, more than {MAX_PORTS}"
        ))),
    }
}

/// Forwards a connection to each of `ports`, until all have ended, the client leaves, or `stop`.
pub(crate) async fn serve(
    link: Link,
    form: Form,
    ports: Vec<u16>,
    network: PodNetwork,
    stop: CancellationToken,
) {
    wire::drive(link, async move |mut incoming, outbox| {
        let mut forward = Forward {
            form,
            inlets: Vec::new(),
            connections: JoinSet::new(),
        };
        let served = async {
            forward.begin(&ports, &network, &outbox).await?;
            // Held by the connections from here on, so that the last to end closes the WebSocket.
            drop(outbox);
            forward.run(&mut incoming).await;
            Ok::<(), Gone>(())
        };
        match stop.run_until_cancelled(served).await {
            None | Some(Ok(())) => {}
            Some(Err(Gone)) => debug!("port-forward client left at once"),
        }
        Some(incoming)
    })
    .await;
}

struct Forward {
    form: Form,
    /// By half of the data channel's number.
    inlets: Vec<(Inlet, CancellationToken)>,
    connections: JoinSet<()>,
}

impl Forward {
    /// Tells each channel its port, as two bytes with the lower one first, and connects.
    async fn begin(&mut self, ports: &[u16], network: &PodNetwork, outbox: &Outbox) -> Result<(), Gone> {
        for (data, port) in (0..=u8::MAX).step_by(2).zip(ports) {
            let error = data.saturating_add(1);
            for channel in [data, error] {
                outbox
                    .send(self.form.message(channel, &port.to_le_bytes()))
                    .await?;
            }
            let (inlet, from_client) = queue();
            let reset = CancellationToken::new();
            self.inlets.push((inlet, reset.clone()));
            let form = self.form;
            let relay = Relay {
                voice: Voice::Channels { form, data, error },
                port: *port,
                from_client,
                reset,
            };
            let (network, outbox) = (network.clone(), outbox.clone());
            self.connections.spawn(async move {
                if relay.run(&network, &outbox).await.is_err() {
                    debug!("port-forward client left a connection");
                }
            });
        }
        Ok(())
    }

    async fn run(&mut self, incoming: &mut Incoming) {
        loop {
            tokio::select! {
                // Cancel-safe: a connection that ended is kept until it is joined.
                ended = self.connections.join_next() => if ended.is_none() { return },
                // Cancel-safe: the next message stays in the socket until it is returned.
                message = incoming.next() => match message {
                    Some(message) => self.take(message).await,
                    None => return,
                },
            }
        }
    }

    async fn take(&self, message: Bytes) {
        let Some((channel, bytes)) = self.form.open(message) else {
            return;
        };
        // Clients have nothing to say on error channels, nor on those that are not there.
        let of = usize::from(channel / 2);
        let Some((inlet, reset)) = self.inlets.get(of).filter(|_| channel.is_multiple_of(2)) else {
            return;
        };
        if !bytes.is_empty() && timeout(STALL, inlet.put(bytes)).await.is_err() {
            debug!(channel, "nobody reads a forwarded connection; reset");
            reset.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[&str]) -> Result<Vec<u16>, Refusal> {
        let pairs = query.iter().map(|value| ("port".to_owned(), (*value).to_owned()));
        ports(&pairs.collect())
    }

    #[test]
    fn ports_are_named_one_by_one_or_together() {
        assert_eq!(read(&["80", "81,82"]).unwrap(), [80, 81, 82]);
    }

    #[test]
    fn ports_that_are_none_are_refused() {
        for query in [
            vec![],
            vec![""],
            vec!["0"],
            vec!["65536"],
            vec!["http"],
            vec!["80,"],
            vec!["-1"],
            vec!["1"; 33],
        ] {
            assert!(read(&query).is_err(), "{query:?}");
        }
    }
}
