//! Probes as a state machine: results in, verdicts out. Who runs a probe, and when, is the caller's.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};

/// The three probes a container may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeKind {
    /// Gates the other two.
    Startup,
    /// Restarts the container when it fails.
    Liveness,
    /// Decides the container's part of the Ready condition.
    Readiness,
}

impl ProbeKind {
    /// All, in the order in which they matter.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// The probe of this kind in `container`.
    #[must_use]
    pub fn of(self, container: &Container) -> Option<&Probe> {
        match self {
            Self::Startup => container.startup_probe.as_ref(),
            Self::Liveness => container.liveness_probe.as_ref(),
            Self::Readiness => container.readiness_probe.as_ref(),
        }
    }

    /// `Startup`, `Liveness`, `Readiness`: as the `Unhealthy` event writes it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// What a probe says of the present run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Not enough results yet.
    #[default]
    Unknown,
    /// Passed.
    Success,
    /// Failed.
    Failure,
}

/// The verdicts of a container's probes in its present run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProbeVerdicts {
    /// Of the startup probe.
    pub startup: Verdict,
    /// Of the liveness probe.
    pub liveness: Verdict,
    /// Of the readiness probe.
    pub readiness: Verdict,
}

impl ProbeVerdicts {
    /// Whether a running `container` has started: it has no startup probe, or that passed.
    #[must_use]
    pub fn started(&self, container: &Container) -> bool {
        container.startup_probe.is_none() || self.startup == Verdict::Success
    }

    /// Whether a running `container` is ready: started, and no readiness probe or that passed.
    #[must_use]
    pub fn ready(&self, container: &Container) -> bool {
        self.started(container) && (container.readiness_probe.is_none() || self.readiness == Verdict::Success)
    }

    /// The verdict of `kind`.
    #[must_use]
    pub const fn get(&self, kind: ProbeKind) -> Verdict {
        match kind {
            ProbeKind::Startup => self.startup,
            ProbeKind::Liveness => self.liveness,
            ProbeKind::Readiness => self.readiness,
        }
    }

    /// Notes the verdict of `kind`.
    pub const fn set(&mut self, kind: ProbeKind, verdict: Verdict) {
        match kind {
            ProbeKind::Startup => self.startup = verdict,
            ProbeKind::Liveness => self.liveness = verdict,
            ProbeKind::Readiness => self.readiness = verdict,
        }
    }
}

/// The numbers of a probe, with the API's defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// From the container's start to the first probe.
    pub initial_delay: Duration,
    /// Between probes.
    pub period: Duration,
    /// For one probe.
    pub timeout: Duration,
    /// Successes in a row that make Success.
    pub success_threshold: u32,
    /// Failures in a row that make Failure.
    pub failure_threshold: u32,
}

impl Timing {
    /// Reads `probe`: delay 0, period 10 s, timeout 1 s, success 1, failure 3 where it says nothing.
    #[must_use]
    pub fn of(probe: &Probe) -> Self {
        let number = |given: Option<i32>, default: u32| {
            given
                .and_then(|n| u32::try_from(n).ok())
                .filter(|n| *n > 0)
                .unwrap_or(default)
        };
        let seconds =
            |given: Option<i32>, default: u32| Duration::from_secs(u64::from(number(given, default)));
        Self {
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10),
            timeout: seconds(probe.timeout_seconds, 1),
            success_threshold: number(probe.success_threshold, 1),
            failure_threshold: number(probe.failure_threshold, 3),
        }
    }
}

/// Counts the results of one probe in one run of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracker {
    timing: Timing,
    verdict: Verdict,
    last: Option<bool>,
    streak: u32,
}

impl Tracker {
    /// Of a run that has just begun.
    #[must_use]
    pub const fn new(timing: Timing) -> Self {
        Self {
            timing,
            verdict: Verdict::Unknown,
            last: None,
            streak: 0,
        }
    }

    /// Counts one result and returns the verdict after it.
    pub fn record(&mut self, passed: bool) -> Verdict {
        self.streak = if self.last == Some(passed) {
            self.streak.saturating_add(1)
        } else {
            1
        };
        self.last = Some(passed);
        if passed && self.streak >= self.timing.success_threshold {
            self.verdict = Verdict::Success;
        } else if !passed && self.streak >= self.timing.failure_threshold {
            self.verdict = Verdict::Failure;
        }
        self.verdict
    }
}

/// Whether a probe of `kind` is to run now, given the other verdicts of the run and whether the
/// pod is being deleted: startup until it has passed, the others only after it, liveness and startup
/// not during termination.
#[must_use]
pub fn is_due(kind: ProbeKind, container: &Container, verdicts: &ProbeVerdicts, terminating: bool) -> bool {
    if kind.of(container).is_none() {
        return false;
    }
    match kind {
        ProbeKind::Startup => !terminating && verdicts.startup == Verdict::Unknown,
        ProbeKind::Liveness => {
            !terminating && verdicts.started(container) && verdicts.liveness != Verdict::Failure
        }
        ProbeKind::Readiness => verdicts.started(container),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn timing(success: i32, failure: i32) -> Timing {
        Timing::of(&Probe {
            success_threshold: Some(success),
            failure_threshold: Some(failure),
            ..Probe::default()
        })
    }

    #[test]
    fn the_defaults_are_those_of_the_api() {
        let timing = Timing::of(&Probe::default());
        let expected = Timing {
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 3,
        };
        assert_eq!(timing, expected);
    }

    #[test]
    fn a_success_between_failures_starts_the_count_again() {
        let mut tracker = Tracker::new(timing(1, 3));
        let verdicts: Vec<Verdict> = [true, false, false, true, false, false, false]
            .map(|r| tracker.record(r))
            .to_vec();
        let mut expected = vec![Verdict::Success; 6];
        expected.push(Verdict::Failure);
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn a_startup_probe_gates_the_others() {
        let container = Container {
            startup_probe: Some(Probe::default()),
            liveness_probe: Some(Probe::default()),
            readiness_probe: Some(Probe::default()),
            ..Container::default()
        };
        let mut verdicts = ProbeVerdicts::default();
        assert!(is_due(ProbeKind::Startup, &container, &verdicts, false));
        assert!(!is_due(ProbeKind::Liveness, &container, &verdicts, false));
        assert!(!is_due(ProbeKind::Readiness, &container, &verdicts, false));
        verdicts.startup = Verdict::Success;
        assert!(!is_due(ProbeKind::Startup, &container, &verdicts, false));
        assert!(is_due(ProbeKind::Liveness, &container, &verdicts, false));
        assert!(is_due(ProbeKind::Readiness, &container, &verdicts, false));
    }

    #[test]
    fn readiness_goes_on_during_termination_and_liveness_does_not() {
        let container = Container {
            liveness_probe: Some(Probe::default()),
            readiness_probe: Some(Probe::default()),
            ..Container::default()
        };
        let verdicts = ProbeVerdicts::default();
        assert!(is_due(ProbeKind::Readiness, &container, &verdicts, true));
        assert!(!is_due(ProbeKind::Liveness, &container, &verdicts, true));
    }

    proptest! {
        #[test]
        fn a_verdict_is_failure_only_after_enough_failures_in_a_row(
            results in prop::collection::vec(any::<bool>(), 0..50), success in 1..4, failure in 1..4,
        ) {
            let mut tracker = Tracker::new(timing(success, failure));
            for result in &results {
                tracker.record(*result);
            }
            let wanted = |value: bool, n: i32| {
                results.windows(usize::try_from(n).unwrap()).any(|w| w.iter().all(|r| *r == value))
            };
            if tracker.verdict == Verdict::Failure { prop_assert!(wanted(false, failure)); }
            if tracker.verdict == Verdict::Success { prop_assert!(wanted(true, success)); }
        }
    }
}
