//! The pods of this node for its HTTP endpoint.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use agent_runtime::attach::AttachError;
use agent_runtime::exec::{self, ContainerRef, ExecProcess, ExecRequest};
use agent_runtime::logs::{self, LogFormat, LogQuery};
use agent_runtime::{NodePaths, read_records, read_state};
use agent_server::{
    AccessError, ContainerPath, ExecOptions, Exit, LogOptions, LogStream, OutputStream, PodAccess,
    PodNetwork, PodPath, ProcessControl, Session, Since, TerminalSize,
};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::unfold;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::attach::Run;
use crate::pods::Registry;

/// Answers for the workers' pods.
#[derive(Debug)]
pub(crate) struct Access {
    registry: Arc<Registry>,
    paths: NodePaths,
}

impl Access {
    /// Over the pods in `registry`.
    pub(crate) const fn new(registry: Arc<Registry>, paths: NodePaths) -> Self {
        Self { registry, paths }
    }

    fn pod(&self, path: &PodPath) -> Result<(Pod, Option<PathBuf>), AccessError> {
        let found = self
            .registry
            .find(&path.namespace, &path.pod, path.uid.as_deref());
        let missing = || AccessError::PodNotFound {
            namespace: path.namespace.clone(),
            pod: path.pod.clone(),
        };
        found.map(|view| (view.pod, view.netns)).ok_or_else(missing)
    }

    fn container(&self, path: &ContainerPath) -> Result<(String, Pod), AccessError> {
        let (pod, _) = self.pod(&path.pod)?;
        let known = pod
            .spec
            .iter()
            .flat_map(agent_core::every_container)
            .any(|(_, c)| c.name == path.container);
        if !known {
            return Err(AccessError::ContainerNotFound {
                pod: path.pod.pod.clone(),
                container: path.container.clone(),
            });
        }
        Ok((pod.metadata.uid.clone().unwrap_or_default(), pod))
    }

    /// The run whose lines are wanted, and whether it is over.
    fn run_of(
        &self,
        uid: &str,
        path: &ContainerPath,
        pod: &Pod,
        previous: bool,
    ) -> Result<(String, bool), AccessError> {
        let records = read_records(&self.paths, uid, &path.container).unwrap_or_default();
        let ended = |id: &str| records.recent.iter().any(|record| record.invocation_id == id);
        let state = read_state(&self.paths, uid, &path.container).ok().flatten();
        let started = state.filter(|s| matches!(s.phase, agent_runtime::Phase::Started { .. }));
        let live = started.map(|state| state.invocation_id).filter(|id| !ended(id));
        let mut past = records
            .recent
            .iter()
            .rev()
            .map(|record| record.invocation_id.clone());
        let chosen = match (previous, live) {
            (false, Some(id)) => Some((id, false)),
            (false, None) => past.next().map(|id| (id, true)),
            (true, Some(_)) => past.next().map(|id| (id, true)),
            (true, None) => past.nth(1).map(|id| (id, true)),
        };
        chosen.ok_or_else(|| {
            let (pod_name, container) = (path.pod.pod.clone(), path.container.clone());
            match previous {
                true => AccessError::NoPrevious {
                    pod: pod_name,
                    container,
                },
                false => AccessError::NotReady {
                    reason: format!("is waiting to start: {}", waiting_reason(pod, &container)),
                    pod: pod_name,
                    container,
                },
            }
        })
    }
}

fn not_running(path: &ContainerPath) -> AccessError {
    AccessError::NotReady {
        pod: path.pod.pod.clone(),
        container: path.container.clone(),
        reason: "is not running".to_owned(),
    }
}

fn waiting_reason(pod: &Pod, container: &str) -> String {
    let mut all = pod.status.iter().flat_map(agent_core::container_statuses);
    let reason = |status: &ContainerStatus| status.state.as_ref()?.waiting.as_ref()?.reason.clone();
    let reason = all.find(|status| status.name == container).and_then(reason);
    // The kubelet's words (`validateContainerLogStatus`).
    match reason.as_deref() {
        None => "ContainerCreating".to_owned(),
        Some("ErrImagePull") => "image can't be pulled".to_owned(),
        Some("ImagePullBackOff") => "trying and failing to pull image".to_owned(),
        Some(other) => other.to_owned(),
    }
}

impl PodAccess for Access {
    async fn pods(&self) -> Vec<Pod> {
        self.registry.all().into_iter().map(|view| view.pod).collect()
    }

    async fn logs(&self, path: &ContainerPath, options: &LogOptions) -> Result<LogStream, AccessError> {
        let (uid, pod) = self.container(path)?;
        let (invocation, over) = self.run_of(&uid, path, &pod, options.previous)?;
        let since = options.since.map(|since| match since {
            Since::Seconds(seconds) => micros_ago(seconds),
            Since::Time(at) => u64::try_from(at.as_microsecond()).unwrap_or(0),
        });
        let query = LogQuery {
            uid,
            container: path.container.clone(),
            invocation_id: Some(invocation),
            follow: options.follow && !over,
            tail: options
                .tail_lines
                .map(|lines| usize::try_from(lines).unwrap_or(usize::MAX)),
            since,
            stream: options.stream.map(|stream| match stream {
                OutputStream::Stdout => logs::Stream::Stdout,
                OutputStream::Stderr => logs::Stream::Stderr,
            }),
        };
        let reader = Reader {
            lines: logs::read(&self.paths, query),
            format: LogFormat::new(options.timestamps, options.limit_bytes),
        };
        Ok(Box::pin(unfold(reader, |mut reader| async move {
            let item = reader.next().await?;
            Some((item, reader))
        })))
    }

    async fn exec(&self, path: &ContainerPath, options: &ExecOptions) -> Result<Session, AccessError> {
        let (uid, _) = self.container(path)?;
        let target = ContainerRef {
            uid,
            container: path.container.clone(),
        };
        let request = ExecRequest {
            command: options.command.clone(),
            tty: options.tty,
            stdin: options.stdin,
            ..ExecRequest::default()
        };
        let mut process = exec::spawn(&self.paths, &target, &request)
            .await
            .map_err(|error| match error {
                exec::ExecError::NotRunning { .. } => not_running(path),
                error => AccessError::Failed {
                    attempted: format!("exec in container \"{}\"", path.container),
                    source: Box::new(error),
                },
            })?;
        Ok(Session {
            stdin: process.stdin.take().map(|stream| Box::into_pin(stream) as _),
            stdout: process.stdout.take().map(|stream| Box::into_pin(stream) as _),
            stderr: process.stderr.take().map(|stream| Box::into_pin(stream) as _),
            process: Box::new(Process { process, exit: None }),
        })
    }

    async fn attach(&self, path: &ContainerPath, options: &ExecOptions) -> Result<Session, AccessError> {
        let (uid, pod) = self.container(path)?;
        let (invocation, over) = self.run_of(&uid, path, &pod, false)?;
        if over {
            return Err(not_running(path));
        }
        let run = Run {
            paths: self.paths.clone(),
            target: ContainerRef {
                uid,
                container: path.container.clone(),
            },
            invocation,
        };
        run.attach(options).await.map_err(|error| match error {
            AttachError::NotRunning(_) => not_running(path),
            error => AccessError::Failed {
                attempted: format!("attach to container \"{}\"", path.container),
                source: Box::new(error),
            },
        })
    }

    async fn network(&self, path: &PodPath) -> Result<PodNetwork, AccessError> {
        let (_, netns) = self.pod(path)?;
        Ok(netns.map_or(PodNetwork::Host, PodNetwork::Namespace))
    }
}

fn micros_ago(seconds: u64) -> u64 {
    let now = u64::try_from(crate::clock::now().as_microsecond()).unwrap_or(0);
    now.saturating_sub(seconds.saturating_mul(1_000_000))
}

struct Process {
    process: ExecProcess,
    exit: Option<Exit>,
}

impl ProcessControl for Process {
    fn resize(&mut self, size: TerminalSize) -> io::Result<()> {
        self.process.resize(size.width, size.height)
    }

    fn wait(&mut self) -> BoxFuture<'_, io::Result<Exit>> {
        use std::os::unix::process::ExitStatusExt as _;
        async move {
            if let Some(exit) = self.exit {
                return Ok(exit);
            }
            let status = self.process.wait().await?;
            let exit = match (status.code(), status.signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => Exit::Code(-1),
            };
            self.exit = Some(exit);
            Ok(exit)
        }
        .boxed()
    }
}

struct Reader {
    lines: logs::LogLines,
    format: LogFormat,
}

impl Reader {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        match self.lines.recv().await? {
            Ok(line) => self.format.render(&line).map(|bytes| Ok(bytes.into())),
            Err(error) => Some(Err(io::Error::other(error))),
        }
    }
}
