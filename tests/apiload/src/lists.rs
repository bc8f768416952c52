//! Lists of all objects of a kind.

use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::figures::latency;
use crate::objects::{JSON, Kind};
use crate::server::{Connection, Server};

/// What a client asks for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// Everything in one answer.
    Full,
    /// Everything in pages of 500.
    Pages,
    /// Metadata only.
    Metadata,
    /// The table that kubectl prints.
    Table,
}

impl Form {
    const fn accept(self) -> &'static str {
        match self {
            Self::Full | Self::Pages => JSON,
            Self::Metadata => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
            Self::Table => "application/json;as=Table;v=v1;g=meta.k8s.io",
        }
    }
}

/// Lists, again and again.
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// The objects' kind.
    #[arg(long)]
    kind: Kind,
    /// What is asked for.
    #[arg(long)]
    form: Form,
    /// Clients at once.
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// How often each client lists.
    #[arg(long)]
    times: usize,
}

impl Load {
    /// Does it, and returns the figures.
    ///
    /// # Errors
    ///
    /// Passes on what the server refused.
    pub(crate) async fn run(&self, server: &Server) -> Result<Value> {
        let (kind, form, times) = (self.kind, self.form, self.times);
        let mut tasks = JoinSet::new();
        for _ in 0..self.clients {
            let mut connection = server.connect().await?;
            tasks.spawn(async move {
                let mut took = Vec::with_capacity(times);
                let mut bytes = 0;
                for _ in 0..times {
                    let began = Instant::now();
                    bytes = list(&mut connection, kind, form).await?;
                    took.push(began.elapsed());
                }
                Ok::<(Vec<Duration>, usize), anyhow::Error>((took, bytes))
            });
        }
        let (mut took, mut bytes) = (Vec::new(), 0);
        while let Some(done) = tasks.join_next().await {
            let (times, size) = done??;
            took.extend(times);
            bytes = size;
        }
        Ok(json!({"latency": latency(took), "bytes": bytes}))
    }
}

/// Lists once and returns the bytes that came.
async fn list(connection: &mut Connection, kind: Kind, form: Form) -> Result<usize> {
    let path = kind.path();
    if !matches!(form, Form::Pages) {
        return connection
            .ask(Method::GET, &path, form.accept(), Bytes::new())
            .await;
    }
    let (mut bytes, mut token) = (0, String::new());
    loop {
        let page = format!("{path}?limit=500&continue={token}");
        let text = connection
            .text(Method::GET, &page, form.accept(), Bytes::new())
            .await?;
        bytes += text.len();
        token = next_page(&text);
        if token.is_empty() {
            return Ok(bytes);
        }
    }
}

/// The token of the next page; empty after the last. Looked up in the text, so that the load's own parsing is not what
/// is measured.
fn next_page(text: &[u8]) -> String {
    const KEY: &[u8] = b"\"continue\":\"";
    let start = text
        .windows(KEY.len())
        .position(|part| part == KEY)
        .map(|at| at + KEY.len());
    let rest = start.and_then(|start| text.get(start..)).unwrap_or_default();
    let token = rest.split(|byte| *byte == b'"').next().unwrap_or_default();
    String::from_utf8_lossy(token)
        .replace('+', "%2B")
        .replace('=', "%3D")
}
