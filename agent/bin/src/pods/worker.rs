//! The worker of one pod: observe, plan, perform, tell, wait.

use agent_systemd::UnitManager;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent_core::probe::ProbeVerdicts;
use agent_core::{
    Failure, ImageState, ObjectState, Observation, PostStart, Rejection, Runs, Sandbox, StopProgress,
    Volumes, plan,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug};

use super::Context;
use super::apply::Flow;
use super::checkpoint::Checkpoint;
use super::last_words::LastWords;
use super::operations::Done;
use super::probing::Probing;
use super::publish::Publisher;
use super::resize::Sizing;
use crate::clock::now;
use crate::tokens::PodTokens;
use crate::volumes::Volume;
use crate::wake::Wake;

/// What the pod is to be.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    pub(super) pod: Arc<Pod>,
    pub(super) object: ObjectState,
    /// Whether the API said so, or only the agent's own memory.
    pub(super) from_api: bool,
}

impl Goal {
    pub(super) fn from_api(pod: Pod) -> Self {
        Self {
            pod: Arc::new(pod),
            object: ObjectState::Present,
            from_api: true,
        }
    }

    pub(super) fn remembered(pod: Pod) -> Self {
        Self {
            pod: Arc::new(pod),
            object: ObjectState::Present,
            from_api: false,
        }
    }
}

impl Goal {
    /// Notes that the object was deleted before our eyes. Where something of it still runs it was deleted
    /// by force, which leaves the containers no more than the least grace.
    pub(super) fn lose(&mut self) {
        self.object = ObjectState::Gone;
        let mut pod = Pod::clone(&self.pod);
        pod.metadata.deletion_grace_period_seconds = Some(0);
        self.pod = Arc::new(pod);
    }
}

/// What the agent itself knows of a container, beside records and units.
#[derive(Debug, Default)]
pub(super) struct Local {
    pub(super) image: ImageState,
    /// The image that is being brought.
    pub(super) pulling: Option<String>,
    pub(super) bundle_hash: Option<String>,
    pub(super) failure: Option<Failure>,
    pub(super) starting: bool,
    /// Whether systemd has no unit of it yet though it is starting: there is nothing to stop.
    pub(super) unmade: bool,
    pub(super) stop: Option<StopProgress>,
    /// Whether it was stopped to run anew, whatever its policy says of how it ended.
    pub(super) comes_back: bool,
    pub(super) post_start: PostStart,
    pub(super) verdicts: ProbeVerdicts,
    /// The run that `post_start` and `verdicts` are of.
    pub(super) invocation: Option<String>,
    /// The run whose unit is, or is being, taken off systemd's list of failed ones.
    pub(super) forgiven: Option<String>,
    /// Cuts the stop that is under way short.
    pub(super) hurry: Option<CancellationToken>,
    /// Runs that the API knows of and the node does not: the machine was booted since.
    pub(super) lost: Runs,
    /// What its failed runs said last, where their pod asks for it.
    pub(super) last_words: LastWords,
}

impl Local {
    /// Forgets what was known of the run before `invocation`.
    pub(super) fn begin_run(&mut self, invocation: &str, hook_pending: bool) {
        self.invocation = Some(invocation.to_owned());
        self.verdicts = ProbeVerdicts::default();
        self.failure = None;
        self.comes_back = false;
        self.post_start = if hook_pending {
            PostStart::Pending
        } else {
            PostStart::Done
        };
    }
}

pub(super) struct Worker<U> {
    pub(super) context: Arc<Context<U>>,
    pub(super) uid: String,
    pub(super) goal: Goal,
    goals: watch::Receiver<Goal>,
    pub(super) wake: Arc<Wake>,
    pub(super) accepted_at: Timestamp,
    pub(super) termination_seen: Option<Timestamp>,
    /// Why the node refuses the pod, where it does.
    pub(super) rejection: Option<Rejection>,
    pub(super) sandbox: Sandbox,
    pub(super) netns: Option<PathBuf>,
    pub(super) volumes: Volumes,
    /// Whether they are being put in place, or brought up to date.
    pub(super) mounting: bool,
    pub(super) volume_map: BTreeMap<String, Volume>,
    /// Away while `mounting`.
    pub(super) tokens: PodTokens,
    pub(super) containers: BTreeMap<String, Local>,
    pub(super) sizing: Sizing,
    pub(super) operations: JoinSet<Done>,
    pub(super) publisher: Publisher,
    pub(super) probing: Probing,
    /// The object's version whose deletion was asked for.
    pub(super) deleted_version: Option<Option<String>>,
    /// When a deletion that failed is asked for again.
    pub(super) delete_at: Option<Timestamp>,
    /// Whether the checkpoint holds an older spec than the one that is followed.
    pub(super) spec_changed: bool,
    /// Whether runs that are found were begun by an earlier agent.
    pub(super) adopting: bool,
}

impl<U: UnitManager + 'static> Worker<U> {
    pub(super) fn new(
        context: &Arc<Context<U>>,
        uid: &str,
        goals: watch::Receiver<Goal>,
        wake: Arc<Wake>,
        checkpoint: Option<Checkpoint>,
    ) -> Self {
        let goal = goals.borrow().clone();
        let adopting = checkpoint.is_some();
        let started = goal
            .pod
            .status
            .as_ref()
            .and_then(|status| status.start_time.as_ref());
        let accepted_at = checkpoint
            .as_ref()
            .map(|c| c.accepted_at)
            .or(started.map(|time| time.0));
        let sandbox = checkpoint.as_ref().map(Checkpoint::sandbox);
        let sizing = Sizing::of(&goal.pod, checkpoint.as_ref());
        Self {
            context: Arc::clone(context),
            uid: uid.to_owned(),
            publisher: Publisher::default(),
            goal,
            goals,
            wake,
            accepted_at: accepted_at.unwrap_or_else(now),
            termination_seen: None,
            rejection: None,
            sandbox: sandbox.unwrap_or(Sandbox::Absent),
            netns: checkpoint.and_then(|c| c.netns),
            volumes: Volumes::Absent,
            mounting: false,
            volume_map: BTreeMap::new(),
            tokens: PodTokens::default(),
            containers: BTreeMap::new(),
            sizing,
            operations: JoinSet::new(),
            probing: Probing::default(),
            deleted_version: None,
            delete_at: None,
            spec_changed: false,
            adopting,
        }
    }

    /// Works until the pod is gone or the agent stops, and returns the pod's UID.
    pub(super) async fn run(mut self, stop: CancellationToken) -> String {
        let meta = &self.goal.pod.metadata;
        let span = tracing::info_span!(
            "pod",
            namespace = meta.namespace,
            pod = meta.name,
            pod_uid = self.uid
        );
        let uid = self.uid.clone();
        Box::pin(self.work(&stop)).instrument(span).await;
        uid
    }

    async fn work(&mut self, stop: &CancellationToken) {
        loop {
            self.take_goal();
            self.keep_spec();
            let token_is_due = self.tokens.renewal().is_some_and(|moment| moment <= now());
            // What changes while the volumes are put in place is taken up once they are.
            if !self.mounting && (self.wake.take_object_change() || token_is_due) {
                self.refresh();
            }
            let observed = self.observe().await;
            let steps = plan(&self.goal.pod, &observed, now());
            let mut again = false;
            let mut until = self.publisher.retry_at();
            for step in steps {
                debug!(step = %step, "step");
                match Box::pin(self.apply(step)).await {
                    Flow::Changed => again = true,
                    Flow::Begun => {}
                    Flow::Wait(moment) => until = Some(until.map_or(moment, |other| other.min(moment))),
                    Flow::Ended => return,
                }
            }
            if again {
                // What is told at once is that the pod was accepted; else the steps come first.
                if self.publisher.is_new() {
                    self.publish(&observed);
                }
                continue;
            }
            self.follow(&observed);
            self.tell_resize_ended(&observed);
            self.publish(&observed);
            let until = until.into_iter().chain(self.next_look()).min();
            if self.rest(stop, until).await {
                return;
            }
        }
    }

    fn take_goal(&mut self) {
        let goal = self.goals.borrow_and_update().clone();
        let first_word = goal.from_api && !self.goal.from_api;
        if goal.pod.metadata.generation != self.goal.pod.metadata.generation {
            // Another image may be asked for: a back-off for the old one does not hold it up.
            for local in self.containers.values_mut() {
                if matches!(local.image, ImageState::Failed(_)) {
                    local.image = ImageState::Unknown;
                }
                local.failure = None;
            }
            self.spec_changed = true;
        }
        if cuts_short(&self.goal.pod, &goal.pod) {
            // What is left of the old grace is over; the new one counts from now.
            self.termination_seen = None;
        }
        let (old, new) = (&self.goal.pod.metadata, &goal.pod.metadata);
        if old.labels != new.labels || old.annotations != new.annotations {
            // Downward API files show them.
            self.wake.object_changed();
        }
        self.goal = goal;
        if first_word {
            self.publisher.begin_from(self.goal.pod.status.clone());
        }
        let leaving = self.goal.object == ObjectState::Gone || agent_core::is_terminating(&self.goal.pod);
        if leaving && self.termination_seen.is_none() {
            self.termination_seen = Some(now());
        }
    }

    /// Brings the volumes to what the changed objects hold, and tries again what lacked one.
    fn refresh(&mut self) {
        let leaving = self.termination_seen.is_some() || self.sandbox == Sandbox::Freed;
        if leaving {
            return;
        }
        if self.volumes == Volumes::Ready {
            self.mount_volumes();
        } else {
            self.volumes = Volumes::Absent;
        }
        for local in self.containers.values_mut() {
            local.failure = local.failure.take().map(|failure| Failure {
                retry_at: now(),
                ..failure
            });
        }
    }

    /// Probes and postStart hooks of the runs that are there.
    fn follow(&mut self, observed: &Observation) {
        self.begin_post_starts(observed);
        self.probe(observed);
    }

    /// The moment a fresh pull error turns into a back-off in the status, or a token is to be renewed.
    fn next_look(&self) -> Option<Timestamp> {
        let turns = self.containers.values().filter_map(|local| match &local.image {
            ImageState::Failed(failure) => failure
                .failed_at
                .checked_add(jiff::SignedDuration::from_secs(3))
                .ok(),
            ImageState::Unknown | ImageState::Present { .. } => None,
        });
        let renewal = self.tokens.renewal();
        turns.chain(renewal).filter(|moment| *moment > now()).min()
    }

    /// Waits for anything that may change the plan; true once the agent stops.
    async fn rest(&mut self, stop: &CancellationToken, until: Option<Timestamp>) -> bool {
        let pause = until.map(|moment| {
            let left = moment.duration_since(now());
            Duration::try_from(left).unwrap_or_default() + Duration::from_millis(5)
        });
        let sleep = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => return true,
            // Cancel-safe: a value counts as seen only once it is borrowed. A sender that is gone means stop.
            changed = self.goals.changed() => return changed.is_err(),
            // Cancel-safe: a permit that was not taken stays.
            () = self.wake.woken() => {}
            // Cancel-safe: a finished task stays in the set.
            Some(done) = self.operations.join_next() => self.done(done),
            // Cancel-safe: a received value is returned, never lost.
            Some(result) = self.probing.next() => self.probed(result),
            // Cancel-safe: a dropped sleep loses nothing.
            () = sleep => {}
        }
        // What has ended besides is taken in at once: each look at the pod costs PID 1 a question.
        while let Some(done) = self.operations.try_join_next() {
            self.done(done);
        }
        false
    }

    pub(super) fn local(&mut self, container: &str) -> &mut Local {
        self.containers.entry(container.to_owned()).or_default()
    }
}

/// Whether `new` leaves the containers less time to end than `old` did.
fn cuts_short(old: &Pod, new: &Pod) -> bool {
    let asked = |pod: &Pod| pod.metadata.deletion_grace_period_seconds;
    match (asked(old), asked(new)) {
        (Some(old), Some(new)) => new < old,
        (None, _) | (_, None) => false,
    }
}

#[cfg(test)]
mod tests;
