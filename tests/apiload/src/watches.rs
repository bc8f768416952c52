//! One writer, many watchers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::{Bytes, BytesMut};
use clap::Args;
use http::Method;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use crate::figures::latency;
use crate::objects::{JSON, Kind};
use crate::server::Server;

/// The namespace is watched by name, so that what else the server writes does not count.
const OBJECT: &str = "watched";

/// One write after the other, each seen by all watchers before the next.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Watchers, each on a connection of its own.
    #[arg(long)]
    watchers: usize,
    /// Writes.
    #[arg(long)]
    writes: usize,
}

impl Load {
    /// Does it, and returns the delays: from before a write until a watcher has it, and until the last one has.
    ///
    /// # Errors
    ///
    /// Passes on what the server refused.
    pub(crate) async fn run(&self, server: &Server) -> Result<Value> {
        let mut writer = server.connect().await?;
        let path = Kind::Configmaps.path();
        let object = Kind::Configmaps.object(OBJECT, 0);
        let made = writer.text(Method::POST, &path, JSON, object).await?;
        let made: Value = serde_json::from_slice(&made)?;
        let revision = made
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let watch = format!("{path}?watch=true&resourceVersion={revision}");
        let turn = Arc::new(Turn::default());
        let mut tasks = JoinSet::new();
        for _ in 0..self.watchers {
            let stream = server.watch(&watch).await?;
            tasks.spawn(note(stream, self.writes, Arc::clone(&turn)));
        }
        let path = format!("{path}/{OBJECT}");
        let (mut began, mut done) = (Vec::with_capacity(self.writes), Vec::new());
        for write in 1..=self.writes {
            let object = Kind::Configmaps.object(OBJECT, write);
            turn.left.store(self.watchers, Ordering::SeqCst);
            began.push(Instant::now());
            writer.ask(Method::PUT, &path, JSON, object).await?;
            turn.ends(&mut tasks, &mut done).await?;
        }
        while let Some(ended) = tasks.join_next().await {
            done.push(ended??);
        }
        let (mut each, mut last) = (Vec::new(), vec![Duration::ZERO; self.writes]);
        for arrivals in done {
            for ((arrived, began), last) in arrivals.into_iter().zip(&began).zip(&mut last) {
                let delay = arrived - *began;
                each.push(delay);
                *last = delay.max(*last);
            }
        }
        writer.ask(Method::DELETE, &path, JSON, Bytes::new()).await?;
        Ok(json!({"each": latency(each), "last": latency(last)}))
    }
}

/// One write, until all watchers have it.
#[derive(Debug, Default)]
struct Turn {
    left: AtomicUsize,
    over: Notify,
}

impl Turn {
    /// Waits until nobody is left. Watchers end after their last turn, and else only by failing.
    async fn ends(
        &self,
        tasks: &mut JoinSet<Result<Vec<Instant>>>,
        done: &mut Vec<Vec<Instant>>,
    ) -> Result<()> {
        loop {
            tokio::select! {
                // Cancel-safe: a notification not returned is kept.
                () = self.over.notified() => return Ok(()),
                // Cancel-safe: `join_next` loses no task.
                Some(ended) = tasks.join_next() => done.push(ended??),
            }
        }
    }
}

/// When each of `writes` events had arrived. An event is a chunk that ends with its line: the next is not written before
/// all watchers have this one.
async fn note(mut stream: TlsStream<TcpStream>, writes: usize, turn: Arc<Turn>) -> Result<Vec<Instant>> {
    let mut arrived = Vec::with_capacity(writes);
    let mut buffer = BytesMut::with_capacity(4096);
    while arrived.len() < writes {
        if stream.read_buf(&mut buffer).await? == 0 {
            bail!("the watch ended");
        }
        if !buffer.ends_with(b"}\n\r\n") {
            continue;
        }
        buffer.clear();
        arrived.push(Instant::now());
        if turn.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            turn.over.notify_one();
        }
    }
    Ok(arrived)
}
