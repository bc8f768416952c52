//! Creates, updates and gets, by some clients at once.

use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::figures::{latency, per_second};
use crate::objects::{JSON, Kind};
use crate::server::{Connection, Server};

/// Objects of each client that updates and gets go over.
const OBJECTS: usize = 20;

/// What each client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verb {
    /// POST of new objects.
    Create,
    /// PUT without a resource version, over a few objects.
    Update,
    /// GET of a few objects.
    Get,
}

/// One verb on `ConfigMaps` of 1 KiB.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The verb.
    #[arg(long)]
    verb: Verb,
    /// Clients at once.
    #[arg(long)]
    clients: usize,
    /// How long.
    #[arg(long)]
    seconds: u64,
    /// Begins the names, so that runs do not meet.
    #[arg(long)]
    prefix: String,
}

impl Load {
    /// Does it, and returns the figures.
    ///
    /// # Errors
    ///
    /// Passes on what the server refused.
    pub(crate) async fn run(&self, server: &Server) -> Result<Value> {
        let lasting = Duration::from_secs(self.seconds);
        let mut clients = Vec::with_capacity(self.clients);
        for index in 0..self.clients {
            let mut client = Client {
                connection: server.connect().await?,
                names: format!("{}-{}-{index}", self.prefix, self.clients),
                verb: self.verb,
            };
            client.prepare().await?;
            clients.push(client);
        }
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for client in clients {
            tasks.spawn(client.work(start, lasting));
        }
        let mut took = Vec::new();
        while let Some(done) = tasks.join_next().await {
            took.extend(done??);
        }
        let rate = per_second(took.len(), start.elapsed());
        Ok(json!({"per_second": rate, "latency": latency(took)}))
    }
}

struct Client {
    connection: Connection,
    names: String,
    verb: Verb,
}

impl Client {
    /// Makes the objects that updates and gets need.
    async fn prepare(&mut self) -> Result<()> {
        if self.verb == Verb::Create {
            return Ok(());
        }
        for index in 0..OBJECTS {
            let object = Kind::Configmaps.object(&format!("{}-{index}", self.names), 0);
            let path = Kind::Configmaps.path();
            self.connection.ask(Method::POST, &path, JSON, object).await?;
        }
        Ok(())
    }

    async fn work(mut self, start: Instant, lasting: Duration) -> Result<Vec<Duration>> {
        let mut took = Vec::new();
        while start.elapsed() < lasting {
            let (method, path, body) = self.request(took.len());
            let began = Instant::now();
            self.connection.ask(method, &path, JSON, body).await?;
            took.push(began.elapsed());
        }
        Ok(took)
    }

    /// The request after `done` others.
    fn request(&self, done: usize) -> (Method, String, Bytes) {
        let (kind, path) = (Kind::Configmaps, Kind::Configmaps.path());
        let one = format!("{}-{}", self.names, done % OBJECTS);
        match self.verb {
            Verb::Create => (
                Method::POST,
                path,
                kind.object(&format!("{}-{done}", self.names), done),
            ),
            Verb::Update => (Method::PUT, format!("{path}/{one}"), kind.object(&one, done + 1)),
            Verb::Get => (Method::GET, format!("{path}/{one}"), Bytes::new()),
        }
    }
}
