//! What is there of a pod: its units, its records, and what the agent knows itself.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_core::{
    ContainerFacts, Exit, Failure, Observation, Outcome, RestartPolicy, Role, Runs, Sandbox, Unit,
    container_statuses, every_container,
};
use agent_run::{BackOff, Launch, recover, start_error};
use agent_runtime::{
    Ended, Phase, Record, Records, State, pod_processes, read_records, read_state, unit_name,
};
use agent_systemd::{ActiveState, UnitManager, UnitName, UnitState};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use tracing::warn;

use super::apply::failure;
use super::worker::Worker;
use crate::clock::{from_micros, now};

/// Longest pause before the service manager is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

impl<U: UnitManager + 'static> Worker<U> {
    pub(super) async fn observe(&mut self) -> Observation {
        let asked_at = now();
        let units = self.units().await;
        let pod = std::sync::Arc::clone(&self.goal.pod);
        let mut observation = Observation {
            object: self.goal.object,
            accepted_at: self.accepted_at,
            termination_seen: self.termination_seen,
            rejection: self.rejection.clone(),
            sandbox: self.observe_sandbox(&units),
            volumes: self.observe_volumes(),
            resizing: self.observe_sizes(),
            containers: BTreeMap::new(),
        };
        for (role, container) in pod.spec.iter().flat_map(every_container) {
            let unit = unit_name(&pod, &container.name)
                .ok()
                .and_then(|name| units.get(&name));
            self.note_lost_end(&container.name, unit, asked_at);
            let mut facts = self.facts(role, &container, unit);
            self.add_last_words(&container, &mut facts.runs).await;
            observation.containers.insert(container.name.clone(), facts);
        }
        self.adopting = false;
        observation
    }

    /// The sandbox as a plan is to see it: without the process namespace that its containers share it is to be made anew.
    fn observe_sandbox(&self, units: &BTreeMap<UnitName, UnitState>) -> Sandbox {
        let processes = pod_processes(&self.goal.pod, &self.context.paths).ok().flatten();
        let gone = |name: &UnitName| {
            let state = units.get(name).map(|unit| unit.active);
            matches!(state, None | Some(ActiveState::Inactive | ActiveState::Failed))
        };
        match processes {
            Some(service) if matches!(self.sandbox, Sandbox::Ready { .. }) && gone(&service.name) => {
                let message = "the process namespace of the pod has ended".to_owned();
                Sandbox::Failed(Failure {
                    retry_at: now(),
                    ..failure("SandboxChanged", message)
                })
            }
            Some(_) | None => self.sandbox.clone(),
        }
    }

    /// Notes the end of a run whose `floe-run record` was killed: it began before the units were asked for,
    /// and there is no unit that could still be at it.
    fn note_lost_end(&self, name: &str, unit: Option<&UnitState>, asked_at: Timestamp) {
        let gone = unit.is_none_or(|unit| matches!(unit.active, ActiveState::Inactive | ActiveState::Failed));
        let starting = self.containers.get(name).is_some_and(|local| local.starting);
        if !gone || starting {
            return;
        }
        let state = read_state(&self.context.paths, &self.uid, name).ok().flatten();
        let before = |at| from_micros(at) < asked_at;
        if state.is_some_and(|state| matches!(state.phase, Phase::Started { at } if before(at))) {
            drop(recover(&self.context.paths.container_dir(&self.uid, name)));
        }
    }

    async fn units(&self) -> BTreeMap<UnitName, UnitState> {
        let pattern = match unit_name(&self.goal.pod, "x") {
            Ok(name) => match name.as_str().strip_suffix(":x.service") {
                Some(stem) => format!("{stem}:*.service"),
                None => "floe-*.service".to_owned(),
            },
            Err(_) => return BTreeMap::new(),
        };
        loop {
            match self.context.units.list(&pattern).await {
                Ok(units) => return units,
                // Nothing may be decided without knowing what runs.
                Err(error) => warn!(error = %error, "units not listed"),
            }
            // A connection that is made anew wakes every worker.
            drop(tokio::time::timeout(ASK_AGAIN, self.wake.woken()).await);
        }
    }

    fn facts(&mut self, role: Role, container: &Container, unit: Option<&UnitState>) -> ContainerFacts {
        let paths = &self.context.paths;
        let name = &container.name;
        let records = read_records(paths, &self.uid, name).unwrap_or_default();
        let state = read_state(paths, &self.uid, name).ok().flatten();
        let launch = || Launch::read(&paths.container_dir(&self.uid, name)).ok().flatten();
        let first_sight = !self.containers.contains_key(name);
        let launch = if first_sight { launch() } else { None };
        let adopting = self.adopting;
        let lost = if first_sight && launch.is_none() && !adopting {
            self.lost_runs(role, name)
        } else {
            None
        };
        let dir = paths.container_dir(&self.uid, name);
        let local = self.local(name);
        if let Some(lost) = lost {
            local.lost = lost;
        }
        if let Some(launch) = launch {
            let (id, reference) = (launch.identity.image_id, launch.identity.image);
            local.image = agent_core::ImageState::Present { id, reference };
            local.bundle_hash = Some(launch.identity.spec_hash);
        }
        let unit_failed = unit.is_some_and(|unit| unit.active == ActiveState::Failed)
            && records
                .last()
                .is_some_and(|last| local.forgiven.as_ref() != Some(&last.invocation_id));
        let mut unit = of_unit(unit, state.as_ref(), &records, || start_error(&dir).is_some());
        local.unmade = local.starting && unit == Unit::Absent;
        if local.unmade {
            unit = Unit::Starting;
        }
        if unit == Unit::Absent
            && matches!(&local.image, agent_core::ImageState::Present { reference, .. }
                if container.image.as_ref() != Some(reference))
        {
            local.image = agent_core::ImageState::Unknown;
        }
        if let Unit::Running { invocation, .. } = &unit
            && local.invocation.as_ref() != Some(invocation)
        {
            let lifecycle = container.lifecycle.as_ref();
            let hook = lifecycle.is_some_and(|lifecycle| lifecycle.post_start.is_some());
            local.begin_run(invocation, hook && !adopting && role != Role::Init);
        }
        ContainerFacts {
            image: local.image.clone(),
            bundle_hash: local.bundle_hash.clone(),
            unit,
            unit_failed,
            runs: with_lost(runs(&records), &local.lost),
            failure: local.failure.clone(),
            comes_back: local.comes_back,
            stop: local.stop,
            post_start: local.post_start.clone(),
            probes: local.verdicts,
        }
    }
}

impl<U: UnitManager + 'static> Worker<U> {
    /// What the API knows of runs of container `name` that left nothing on this node.
    fn lost_runs(&self, role: Role, name: &str) -> Option<Runs> {
        let mut all = container_statuses(self.goal.pod.status.as_ref()?);
        let known = all.find(|status| status.name == name)?;
        let id = known
            .container_id
            .as_deref()?
            .trim_start_matches("floe://")
            .to_owned();
        let ended = known.state.as_ref().and_then(|state| state.terminated.as_ref());
        let began = known
            .state
            .as_ref()
            .and_then(|state| state.running.as_ref())
            .and_then(|r| r.started_at.as_ref());
        let last = match ended {
            Some(end) => Exit {
                invocation: id,
                started_at: end.started_at.as_ref().map(|time| time.0),
                finished_at: end.finished_at.as_ref().map_or_else(now, |time| time.0),
                outcome: Outcome::Exited(end.exit_code),
                message: end.message.clone(),
            },
            None => Exit {
                invocation: id,
                started_at: began.map(|time| time.0),
                finished_at: now(),
                outcome: Outcome::Unknown,
                message: Some("The container could not be located when the node came back".to_owned()),
            },
        };
        let finished = u32::try_from(known.restart_count).unwrap_or(0).saturating_add(1);
        let ended = Runs {
            finished,
            pause: Duration::ZERO,
            last: Some(last),
            previous: None,
        };
        // A pod that goes on is built anew, as its sandbox is: its init containers run again.
        let spec = self.goal.pod.spec.as_ref()?;
        let again = role == Role::Init || RestartPolicy::of(spec, role).restarts(&ended);
        Some(if again {
            Runs {
                previous: ended.last,
                last: None,
                ..ended
            }
        } else {
            ended
        })
    }
}

/// `runs` after those that are known to the API alone.
fn with_lost(runs: Runs, lost: &Runs) -> Runs {
    let before = || lost.last.clone().or_else(|| lost.previous.clone());
    Runs {
        finished: runs.finished.saturating_add(lost.finished),
        pause: runs.pause,
        previous: runs.previous.or_else(|| {
            if runs.last.is_some() {
                before()
            } else {
                lost.previous.clone()
            }
        }),
        last: runs.last.or_else(|| lost.last.clone()),
    }
}

/// The unit's state in the plan's words. An active unit whose run has a record is on its way down; one
/// that is told to stop runs until it has, unless it is because nothing of it `never_ran`.
fn of_unit(
    unit: Option<&UnitState>,
    state: Option<&State>,
    records: &Records,
    never_ran: impl FnOnce() -> bool,
) -> Unit {
    let Some(unit) = unit else { return Unit::Absent };
    let run = state.filter(|state| {
        records
            .recent
            .iter()
            .all(|r| r.invocation_id != state.invocation_id)
    });
    let running = run.and_then(|state| match state.phase {
        Phase::Started { at } => Some(Unit::Running {
            invocation: state.invocation_id.clone(),
            started_at: from_micros(at),
        }),
        Phase::Waiting { .. } => None,
    });
    match unit.active {
        ActiveState::Active if state.is_none() => Unit::Starting,
        ActiveState::Deactivating if running.is_some() && never_ran() => Unit::Starting,
        ActiveState::Active | ActiveState::Deactivating => running.unwrap_or(Unit::Stopping),
        ActiveState::Activating => Unit::Starting,
        ActiveState::Inactive | ActiveState::Failed => Unit::Absent,
    }
}

fn runs(records: &Records) -> Runs {
    let mut newest = records.recent.iter().rev();
    Runs {
        finished: u32::try_from(records.total).unwrap_or(u32::MAX),
        pause: BackOff::default().pause(records),
        last: newest.next().map(exit),
        previous: newest.next().map(exit),
    }
}

fn exit(record: &Record) -> Exit {
    let message = record
        .start_error
        .clone()
        .or_else(|| Some(record.message.clone()));
    Exit {
        invocation: record.invocation_id.clone(),
        started_at: (record.started_at > 0).then(|| from_micros(record.started_at)),
        finished_at: from_micros(record.finished_at),
        outcome: outcome(record),
        message: message.filter(|text| !text.is_empty()),
    }
}

fn outcome(record: &Record) -> Outcome {
    if record.start_error.is_some() {
        return Outcome::StartFailed;
    }
    if record.result == "oom-kill" {
        return Outcome::OutOfMemory;
    }
    match record.ended {
        Ended::Exited => Outcome::Exited(record.exit_code),
        Ended::Killed | Ended::Dumped => Outcome::Signalled(record.signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(active: ActiveState) -> UnitState {
        UnitState {
            active,
            sub: String::new(),
        }
    }

    fn started(id: &str) -> State {
        State {
            invocation_id: id.to_owned(),
            restart: 0,
            phase: Phase::Started { at: 1_000_000 },
        }
    }

    fn ended(id: &str) -> Records {
        let mut records = Records::default();
        records.append(Record {
            invocation_id: id.to_owned(),
            ..Record::default()
        });
        records
    }

    #[test]
    fn a_run_that_has_a_record_is_over_whatever_the_unit_says() {
        let active = unit(ActiveState::Active);
        assert_eq!(
            of_unit(Some(&active), Some(&started("a")), &ended("a"), || false),
            Unit::Stopping
        );
        assert!(matches!(
            of_unit(Some(&active), Some(&started("b")), &ended("a"), || false),
            Unit::Running { invocation, .. } if invocation == "b"
        ));
    }

    #[test]
    fn a_container_that_ran_runs_until_its_end_is_recorded() {
        let down = unit(ActiveState::Deactivating);
        let seen = |never_ran| {
            of_unit(Some(&down), Some(&started("a")), &Records::default(), || {
                never_ran
            })
        };
        assert!(matches!(seen(false), Unit::Running { .. }));
        assert_eq!(seen(true), Unit::Starting, "crun could not start it");
    }

    #[test]
    fn out_of_memory_signals_and_start_errors_are_told_apart() {
        let oom = Record {
            result: "oom-kill".to_owned(),
            ended: Ended::Killed,
            signal: 9,
            ..Record::default()
        };
        let killed = Record {
            ended: Ended::Killed,
            signal: 15,
            ..Record::default()
        };
        let never = Record {
            start_error: Some("no such file".to_owned()),
            ..Record::default()
        };
        assert_eq!(outcome(&oom).reason(), "OOMKilled");
        assert_eq!(outcome(&killed).exit_code(), 143);
        assert_eq!(
            (outcome(&never).reason(), exit(&never).message.unwrap()),
            ("StartError", "no such file".into())
        );
    }
}
