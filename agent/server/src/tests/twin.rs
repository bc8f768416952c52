//! Pods in memory: what [`PodAccess`] is to the tests.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{mpsc, watch};

use super::process;
use crate::access::{
    AccessError, ContainerPath, ExecOptions, LogOptions, LogStream, PodAccess, PodNetwork, PodPath, Session,
};

/// One pod, `default/web`, with one container, `app`.
pub(super) struct Twin {
    /// Log lines come from here; `None` once a stream took it.
    lines: Mutex<Option<mpsc::Receiver<Bytes>>>,
    /// The options of every log that was asked for.
    pub(super) asked: Mutex<Vec<LogOptions>>,
    /// How many log streams and processes are alive.
    pub(super) alive: watch::Sender<usize>,
}

impl Twin {
    pub(super) fn new() -> (Self, mpsc::Sender<Bytes>) {
        let (sender, lines) = mpsc::channel(8);
        let twin = Self {
            lines: Mutex::new(Some(lines)),
            asked: Mutex::default(),
            alive: watch::Sender::new(0),
        };
        (twin, sender)
    }

    /// Waits until just so many streams and processes are alive.
    pub(super) async fn alive(&self, wanted: usize) {
        let mut alive = self.alive.subscribe();
        alive.wait_for(|now| *now == wanted).await.unwrap();
    }

    fn find(&self, container: &ContainerPath) -> Result<(), AccessError> {
        self.find_pod(&container.pod)?;
        if container.container == "app" {
            return Ok(());
        }
        Err(AccessError::ContainerNotFound {
            pod: container.pod.pod.clone(),
            container: container.container.clone(),
        })
    }

    fn find_pod(&self, pod: &PodPath) -> Result<(), AccessError> {
        if pod.namespace == "default" && pod.pod == "web" {
            return Ok(());
        }
        Err(AccessError::PodNotFound {
            namespace: pod.namespace.clone(),
            pod: pod.pod.clone(),
        })
    }
}

impl PodAccess for Twin {
    async fn pods(&self) -> Vec<Pod> {
        let mut pod = Pod::default();
        pod.metadata.name = Some("web".to_owned());
        pod.metadata.labels = Some(BTreeMap::new());
        vec![pod]
    }

    async fn logs(&self, container: &ContainerPath, options: &LogOptions) -> Result<LogStream, AccessError> {
        self.find(container)?;
        self.asked.lock().unwrap().push(options.clone());
        let lines = self.lines.lock().unwrap().take().expect("one log stream a test");
        let alive = Alive::new(&self.alive);
        Ok(Box::pin(Lines { lines, _alive: alive }))
    }

    async fn exec(&self, container: &ContainerPath, options: &ExecOptions) -> Result<Session, AccessError> {
        self.find(container)?;
        process::start(options, Alive::new(&self.alive))
    }

    async fn attach(&self, container: &ContainerPath, options: &ExecOptions) -> Result<Session, AccessError> {
        let command = ["exit", "3"].map(str::to_owned).to_vec();
        let options = ExecOptions {
            command,
            ..options.clone()
        };
        self.exec(container, &options).await
    }

    async fn network(&self, pod: &PodPath) -> Result<PodNetwork, AccessError> {
        self.find_pod(pod)?;
        Ok(PodNetwork::Host)
    }
}

/// Counts what holds it.
pub(super) struct Alive(watch::Sender<usize>);

impl Alive {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|now| *now += 1);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.send_modify(|now| *now -= 1);
    }
}

struct Lines {
    lines: mpsc::Receiver<Bytes>,
    _alive: Alive,
}

impl Stream for Lines {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.lines.poll_recv(cx).map(|line| line.map(Ok))
    }
}
