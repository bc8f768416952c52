//! The objects of the load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::figures::per_second;
use crate::server::Server;

/// Where the objects live.
pub(crate) const NAMESPACE: &str = "default";
/// What ordinary clients of this load read.
pub(crate) const JSON: &str = "application/json";
/// Bytes of text in a `ConfigMap`.
const TEXT: usize = 1024;
/// Clients that fill.
const FILLERS: usize = 64;

/// The kinds of object.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    /// `ConfigMaps` of 1 KiB.
    Configmaps,
    /// Pods of two containers with probes, as a Deployment makes them.
    Pods,
}

impl Kind {
    /// The path of all of them.
    pub(crate) fn path(self) -> String {
        let plural = match self {
            Self::Configmaps => "configmaps",
            Self::Pods => "pods",
        };
        format!("/api/v1/namespaces/{NAMESPACE}/{plural}")
    }

    /// The object called `name`, whose changeable text is `mark`.
    pub(crate) fn object(self, name: &str, mark: usize) -> Bytes {
        let object = match self {
            Self::Configmaps => config_map(name, mark),
            Self::Pods => pod(name, mark),
        };
        Bytes::from(object.to_string())
    }
}

fn config_map(name: &str, mark: usize) -> Value {
    let text = format!("{mark:08}{}", "x".repeat(TEXT - 8));
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}})
}

fn pod(name: &str, mark: usize) -> Value {
    let container = |name: &str, port: u16| {
        json!({
            "name": name, "image": format!("registry.example/{name}:1.2.3"),
            "ports": [{"containerPort": port, "name": "http"}],
            "env": [{"name": "MODE", "value": "production"}, {"name": "MARK", "value": mark.to_string()}],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "shop", "tier": format!("t{}", mark % 10)}},
        "spec": {"containers": [container("web", 8080), container("sidecar", 9090)], "nodeSelector": {"disk": "fast"}},
    })
}

/// Creates objects and leaves them.
#[derive(Debug, Args)]
pub(crate) struct Fill {
    /// Their kind.
    #[arg(long)]
    kind: Kind,
    /// How many.
    #[arg(long)]
    count: usize,
    /// The number of the first.
    #[arg(long, default_value_t = 0)]
    from: usize,
}

impl Fill {
    /// Does it, and returns the figures.
    ///
    /// # Errors
    ///
    /// Passes on what the server refused.
    pub(crate) async fn run(&self, server: &Server) -> Result<Value> {
        if self.from == 0 && matches!(self.kind, Kind::Pods) {
            account(server).await?;
        }
        let (kind, end) = (self.kind, self.from + self.count);
        let next = Arc::new(AtomicUsize::new(self.from));
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..FILLERS {
            let (mut connection, next) = (server.connect().await?, Arc::clone(&next));
            tasks.spawn(async move {
                let path = kind.path();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= end {
                        return Ok::<_, anyhow::Error>(());
                    }
                    let object = kind.object(&format!("fill-{index:07}"), index);
                    connection.ask(Method::POST, &path, JSON, object).await?;
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(json!({"per_second": per_second(self.count, start.elapsed())}))
    }
}

/// Makes the service account that pods have: the controllers, which would make it, may not run.
async fn account(server: &Server) -> Result<()> {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts");
    let body = Bytes::from(account.to_string());
    server
        .connect()
        .await?
        .ask(Method::POST, &path, JSON, body)
        .await?;
    Ok(())
}
