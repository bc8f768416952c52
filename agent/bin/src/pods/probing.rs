//! Probes and postStart hooks of the runs that are there.

use agent_systemd::UnitManager;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_core::probe::{ProbeKind, Timing, Tracker, is_due};
use agent_core::{EventDraft, Observation, PostStart, Unit, is_terminating};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Probe};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::Context;
use super::action::{self, Target};
use super::operations::Done;
use super::worker::Worker;
use crate::clock::now;

/// One probe of one run.
type Key = (String, ProbeKind, String);

/// The probes that run.
#[derive(Debug)]
pub(super) struct Probing {
    tasks: JoinSet<()>,
    running: BTreeMap<Key, (AbortHandle, Tracker)>,
    /// postStart hooks under way: the run each is of, by container.
    hooks: BTreeMap<String, String>,
    /// Full only while the worker is busy: then a prober waits.
    sender: mpsc::Sender<ProbeResult>,
    receiver: mpsc::Receiver<ProbeResult>,
}

/// The outcome of one probe.
#[derive(Debug)]
pub(super) struct ProbeResult {
    key: Key,
    outcome: Result<(), String>,
}

impl Default for Probing {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(16);
        Self {
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
            hooks: BTreeMap::new(),
            sender,
            receiver,
        }
    }
}

impl Probing {
    /// The next result. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<ProbeResult> {
        self.receiver.recv().await
    }
}

impl<U: UnitManager + 'static> Worker<U> {
    pub(super) fn action_target(&self, container: Container) -> Target {
        let address = match &self.sandbox {
            agent_core::Sandbox::Ready { pod_ips } => pod_ips.first().copied(),
            agent_core::Sandbox::Absent | agent_core::Sandbox::Failed(_) | agent_core::Sandbox::Freed => None,
        };
        Target {
            pod: Arc::clone(&self.goal.pod),
            uid: self.uid.clone(),
            container,
            address,
        }
    }

    /// Starts the probes that are due and ends those that are not.
    pub(super) fn probe(&mut self, observed: &Observation) {
        let wanted = self.wanted(observed);
        self.probing.running.retain(|key, (task, _)| {
            let keep = wanted.iter().any(|wish| wish.key == *key);
            if !keep {
                task.abort();
            }
            keep
        });
        while self.probing.tasks.try_join_next().is_some() {}
        for wish in wanted {
            if !self.probing.running.contains_key(&wish.key) {
                self.begin_probe(wish);
            }
        }
    }

    fn wanted(&self, observed: &Observation) -> Vec<Wish> {
        let terminating = is_terminating(&self.goal.pod);
        let mut wanted = Vec::new();
        for (_, container) in self.goal.pod.spec.iter().flat_map(agent_core::containers) {
            let facts = observed.container(&container.name);
            let Unit::Running {
                invocation,
                started_at,
            } = &facts.unit
            else {
                continue;
            };
            for kind in ProbeKind::ALL {
                let due = facts.post_start == PostStart::Done
                    && is_due(kind, container, &facts.probes, terminating)
                    && (kind == ProbeKind::Readiness || facts.stop.is_none());
                if let Some(probe) = kind.of(container).filter(|_| due) {
                    wanted.push(Wish {
                        key: (container.name.clone(), kind, invocation.clone()),
                        probe: probe.clone(),
                        container: container.clone(),
                        started_at: *started_at,
                    });
                }
            }
        }
        wanted
    }

    fn begin_probe(&mut self, wish: Wish) {
        let timing = Timing::of(&wish.probe);
        let prober = Prober {
            context: Arc::clone(&self.context),
            target: self.action_target(wish.container),
            probe: wish.probe,
            timing,
            key: wish.key.clone(),
            sender: self.probing.sender.clone(),
        };
        let task = self.probing.tasks.spawn(prober.run(wish.started_at));
        self.probing
            .running
            .insert(wish.key, (task, Tracker::new(timing)));
    }

    /// Counts a result, and tells failures.
    pub(super) fn probed(&mut self, result: ProbeResult) {
        let Some((_, tracker)) = self.probing.running.get_mut(&result.key) else {
            return;
        };
        let verdict = tracker.record(result.outcome.is_ok());
        let (container, kind, invocation) = result.key;
        if let Err(error) = &result.outcome {
            let message = format!("{} probe failed: {error}", kind.title());
            let event = EventDraft::warning("Unhealthy", message);
            self.context
                .events
                .about_pod(&self.goal.pod, Some(&container), event);
        }
        let local = self.local(&container);
        if local.invocation.as_deref() == Some(invocation.as_str()) {
            local.verdicts.set(kind, verdict);
        }
    }

    /// Runs the postStart hooks of runs that wait for theirs.
    pub(super) fn begin_post_starts(&mut self, observed: &Observation) {
        let pod = Arc::clone(&self.goal.pod);
        for (_, container) in pod.spec.iter().flat_map(agent_core::containers) {
            let facts = observed.container(&container.name);
            let Unit::Running { invocation, .. } = &facts.unit else {
                continue;
            };
            let hook = container
                .lifecycle
                .as_ref()
                .and_then(|lifecycle| lifecycle.post_start.clone());
            let Some(hook) = hook.filter(|_| facts.post_start == PostStart::Pending) else {
                continue;
            };
            let before = self
                .probing
                .hooks
                .insert(container.name.clone(), invocation.clone());
            if before.as_ref() == Some(invocation) {
                continue;
            }
            let (context, target) = (Arc::clone(&self.context), self.action_target(container.clone()));
            let (container, invocation) = (container.name.clone(), invocation.clone());
            self.operations.spawn(async move {
                let result = Box::pin(action::hook(&context, &target, &hook)).await;
                Done::PostStarted {
                    container,
                    invocation,
                    result,
                }
            });
        }
    }

    pub(super) fn post_started(&mut self, container: &str, invocation: &str, result: Result<(), String>) {
        self.probing.hooks.remove(container);
        let pod = Arc::clone(&self.goal.pod);
        if self.local(container).invocation.as_deref() != Some(invocation) {
            return;
        }
        if let Err(error) = &result {
            let event = EventDraft::warning("FailedPostStartHook", format!("PostStartHook failed: {error}"));
            self.context.events.about_pod(&pod, Some(container), event);
        }
        self.local(container).post_start = match result {
            Ok(()) => PostStart::Done,
            Err(error) => PostStart::Failed(error),
        };
    }
}

struct Wish {
    key: Key,
    probe: Probe,
    container: Container,
    started_at: Timestamp,
}

struct Prober<U> {
    context: Arc<Context<U>>,
    target: Target,
    probe: Probe,
    timing: Timing,
    key: Key,
    sender: mpsc::Sender<ProbeResult>,
}

impl<U: UnitManager + 'static> Prober<U> {
    async fn run(self, started_at: Timestamp) {
        let ran = Duration::try_from(now().duration_since(started_at)).unwrap_or_default();
        tokio::time::sleep(self.timing.initial_delay.saturating_sub(ran)).await;
        // A run found on an agent's start is not probed in step with all others.
        if ran > self.timing.period {
            tokio::time::sleep(self.timing.period.mul_f64(rand::random_range(0.0..1.0))).await;
        }
        loop {
            let began = tokio::time::Instant::now();
            let once = Box::pin(action::probe(&self.context, &self.target, &self.probe));
            let outcome = tokio::time::timeout(self.timing.timeout, once).await;
            let late = || format!("probe timed out after {}s", self.timing.timeout.as_secs());
            let outcome = outcome.unwrap_or_else(|_| Err(late()));
            if self
                .sender
                .send(ProbeResult {
                    key: self.key.clone(),
                    outcome,
                })
                .await
                .is_err()
            {
                return;
            }
            tokio::time::sleep_until(began + self.timing.period).await;
        }
    }
}

/// Believes any certificate.
#[derive(Debug)]
pub(super) struct AnyCertificate(pub(super) Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
