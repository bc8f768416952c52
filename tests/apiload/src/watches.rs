//! One writer, many watchers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use clap::Args;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::figures::latency;
use crate::objects::{JSON, Kind};
use crate::server::{Connection, Server};

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
        let all = Arc::new(Barrier::new(self.watchers + 1));
        let mut tasks = JoinSet::new();
        for _ in 0..self.watchers {
            let watcher = Watcher::open(server, &watch).await?;
            tasks.spawn(watcher.note(self.writes, Arc::clone(&all)));
        }
        let path = format!("{path}/{OBJECT}");
        let mut began = Vec::with_capacity(self.writes);
        for write in 1..=self.writes {
            let object = Kind::Configmaps.object(OBJECT, write);
            began.push(Instant::now());
            writer.ask(Method::PUT, &path, JSON, object).await?;
            all.wait().await;
        }
        let (mut each, mut last) = (Vec::new(), vec![Duration::ZERO; self.writes]);
        while let Some(done) = tasks.join_next().await {
            for ((arrived, began), last) in done??.into_iter().zip(&began).zip(&mut last) {
                let delay = arrived - *began;
                each.push(delay);
                *last = delay.max(*last);
            }
        }
        writer.ask(Method::DELETE, &path, JSON, Bytes::new()).await?;
        Ok(json!({"each": latency(each), "last": latency(last)}))
    }
}

/// A watch, and the connection it is on.
struct Watcher {
    _connection: Connection,
    stream: Incoming,
}

impl Watcher {
    async fn open(server: &Server, path: &str) -> Result<Self> {
        let mut connection = server.connect().await?;
        let stream = connection.open(Method::GET, path, JSON, Bytes::new()).await?;
        Ok(Self {
            _connection: connection,
            stream,
        })
    }

    /// When each of `writes` events had arrived, one for each turn of `all`.
    async fn note(mut self, writes: usize, all: Arc<Barrier>) -> Result<Vec<Instant>> {
        let mut arrived = Vec::with_capacity(writes);
        for _ in 0..writes {
            self.event().await?;
            arrived.push(Instant::now());
            all.wait().await;
        }
        Ok(arrived)
    }

    /// Reads to the end of a line, which is the end of an event: the next is not written before all have this one.
    async fn event(&mut self) -> Result<()> {
        loop {
            let Some(frame) = self.stream.frame().await else {
                bail!("the watch ended");
            };
            let ended = |data: &Bytes| data.last() == Some(&b'\n');
            if frame?.data_ref().is_some_and(ended) {
                return Ok(());
            }
        }
    }
}
