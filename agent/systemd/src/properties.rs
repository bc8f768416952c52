//! Specifications as the properties of `StartTransientUnit`.

use std::path::Path;
use std::time::Duration;

use zbus::Variant;

use crate::{Exec, KillMode, Limits, OomPolicy, Restart, ServiceSpec, ServiceType, SliceSpec};

/// Name and value of one property.
pub(crate) type Property = (&'static str, Variant<'static>);

/// systemd's "no limit" and "no time-out".
const INFINITY: u64 = u64::MAX;

/// The properties of a slice.
pub(crate) fn slice(spec: &SliceSpec) -> Vec<Property> {
    let mut all: Vec<Property> = vec![("Description", spec.description.clone().into())];
    all.extend(limits(&spec.limits));
    all
}

/// The properties of a service.
pub(crate) fn service(spec: &ServiceSpec) -> Vec<Property> {
    let mut all = description(spec);
    all.extend(commands(spec));
    all.extend(ending(spec));
    all.extend(logging(spec));
    all.extend(limits(&spec.limits));
    all
}

fn description(spec: &ServiceSpec) -> Vec<Property> {
    let after: Vec<String> = spec.wants.iter().chain(&spec.after).cloned().collect();
    let mut all: Vec<Property> = vec![
        ("Description", spec.description.clone().into()),
        ("Slice", spec.slice.to_string().into()),
        ("Wants", spec.wants.clone().into()),
        ("After", after.into()),
    ];
    match &spec.service_type {
        ServiceType::Exec => all.push(("Type", "exec".into())),
        ServiceType::Notify => all.push(("Type", "notify".into())),
        ServiceType::Oneshot => all.push(("Type", "oneshot".into())),
        ServiceType::Forking { pid_file } => {
            all.push(("Type", "forking".into()));
            all.push(("PIDFile", text(pid_file).into()));
        }
    }
    all
}

fn commands(spec: &ServiceSpec) -> Vec<Property> {
    vec![
        ("ExecStart", execs(std::slice::from_ref(&spec.exec_start))),
        ("ExecStartPost", execs(&spec.exec_start_post)),
        ("ExecStopPost", execs(&spec.exec_stop_post)),
        // The back-off is waited inside ExecStart, so a start may take minutes; and restarts are
        // never given up.
        ("TimeoutStartUSec", INFINITY.into()),
        ("StartLimitIntervalUSec", 0_u64.into()),
    ]
}

fn ending(spec: &ServiceSpec) -> Vec<Property> {
    let restart = match spec.restart {
        Restart::No => "no",
        Restart::OnFailure => "on-failure",
        Restart::Always => "always",
    };
    let kill_mode = match spec.kill_mode {
        KillMode::Mixed => "mixed",
        KillMode::ControlGroup => "control-group",
    };
    let oom_policy = match spec.oom_policy {
        OomPolicy::Continue => "continue",
        OomPolicy::Kill => "kill",
    };
    let no_codes: Vec<i32> = Vec::new();
    let mut all: Vec<Property> = vec![
        ("Restart", restart.into()),
        ("RestartUSec", micros(spec.restart_sec).into()),
        ("KillMode", kill_mode.into()),
        ("KillSignal", spec.kill_signal.into()),
        // 0 would wait for ever.
        (
            "TimeoutStopUSec",
            micros(spec.timeout_stop.max(Duration::from_secs(1))).into(),
        ),
        ("OOMPolicy", oom_policy.into()),
        ("Delegate", spec.delegate.into()),
    ];
    if spec.restart == Restart::OnFailure {
        // A main process that exited 0 before ExecStartPost= ended leaves a PID file of nobody, which
        // systemd calls a failure of the protocol and would answer with another run.
        all.push(("RestartPreventExitStatus", (vec![0_i32], no_codes.clone()).into()));
    }
    if !spec.restart_force_signals.is_empty() {
        let signals = spec.restart_force_signals.clone();
        all.push(("RestartForceExitStatus", (no_codes, signals).into()));
    }
    if spec.stop_extendable {
        all.push(("NotifyAccess", "all".into()));
        all.push(("UnsetEnvironment", vec!["NOTIFY_SOCKET".to_owned()].into()));
    }
    if let Some(adjust) = spec.oom_score_adjust {
        all.push(("OOMScoreAdjust", adjust.into()));
    }
    all
}

/// Lines arrive as written: no `<3>` prefix is eaten, none is dropped for its rate.
fn logging(spec: &ServiceSpec) -> Vec<Property> {
    let fields: Vec<Vec<u8>> = spec
        .log_extra_fields
        .iter()
        .map(|(name, value)| format!("{name}={value}").into_bytes())
        .collect();
    let mut all: Vec<Property> = vec![
        ("SyslogLevelPrefix", false.into()),
        // systemd hands a limit of 0, which means none, on to no journald: one that nobody reaches.
        ("LogRateLimitIntervalUSec", 1_000_u64.into()),
        ("LogRateLimitBurst", 100_000_000_u32.into()),
        ("LogExtraFields", fields.into()),
    ];
    if let Some(identifier) = &spec.syslog_identifier {
        all.push(("SyslogIdentifier", identifier.clone().into()));
    }
    all
}

fn limits(limits: &Limits) -> Vec<Property> {
    let quota = limits.cpu_quota_per_sec.map(micros);
    [
        ("CPUWeight", limits.cpu_weight),
        ("CPUQuotaPerSecUSec", quota),
        ("MemoryMax", limits.memory_max),
        ("MemoryLow", limits.memory_low),
        ("TasksMax", limits.tasks_max),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|v| (name, v.into())))
    .collect()
}

/// The properties that replace the limits of a unit there is: those that are absent are lifted.
pub(crate) fn replaced_limits(limits: &Limits) -> Vec<Property> {
    let quota = limits.cpu_quota_per_sec.map(micros);
    let mut all: Vec<Property> = vec![
        ("CPUQuotaPerSecUSec", quota.unwrap_or(INFINITY).into()),
        ("MemoryMax", limits.memory_max.unwrap_or(INFINITY).into()),
        ("MemoryLow", limits.memory_low.unwrap_or(0).into()),
    ];
    // These two have defaults of their own.
    let weight = limits.cpu_weight.map(|weight| ("CPUWeight", weight.into()));
    let tasks = limits.tasks_max.map(|tasks| ("TasksMax", tasks.into()));
    all.extend(weight.into_iter().chain(tasks));
    all
}

fn execs(commands: &[Exec]) -> Variant<'static> {
    let lines: Vec<(String, Vec<String>, bool)> = commands
        .iter()
        .map(|command| {
            let program = text(&command.program);
            let argv = std::iter::once(program.clone())
                .chain(command.args.iter().cloned())
                .collect();
            (program, argv, command.ignore_failure)
        })
        .collect();
    lines.into()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SliceName, UnitName};

    fn spec() -> ServiceSpec {
        let name = UnitName::parse("floe-a.service").unwrap();
        ServiceSpec::new(
            name,
            SliceName::parse("floe.slice").unwrap(),
            Exec::new("/bin/x", ["1"]),
        )
    }

    fn value(spec: &ServiceSpec, name: &str) -> Option<Variant<'static>> {
        service(spec)
            .into_iter()
            .find(|(property, _)| *property == name)
            .map(|(_, value)| value)
    }

    #[test]
    fn values_have_the_types_that_systemd_reads() {
        let spec = ServiceSpec {
            restart: Restart::OnFailure,
            stop_extendable: true,
            restart_force_signals: vec![15],
            log_extra_fields: vec![("FLOE_POD".into(), "p".into())],
            ..spec()
        };
        let signature = |name: &str| value(&spec, name).unwrap().value_signature().to_string();
        assert_eq!(signature("ExecStart"), "a(sasb)");
        assert_eq!(signature("RestartForceExitStatus"), "(aiai)");
        assert_eq!(signature("RestartPreventExitStatus"), "(aiai)");
        assert_eq!(signature("LogExtraFields"), "aay");
        assert_eq!(signature("TimeoutStopUSec"), "t");
        assert_eq!(signature("UnsetEnvironment"), "as");
        assert_eq!(signature("KillSignal"), "i");
    }

    #[test]
    fn no_grace_is_a_second_since_none_would_be_for_ever() {
        let spec = ServiceSpec {
            timeout_stop: Duration::ZERO,
            ..spec()
        };
        assert_eq!(value(&spec, "TimeoutStopUSec"), Some(1_000_000_u64.into()));
    }

    #[test]
    fn limits_that_are_replaced_are_all_said_or_lifted() {
        let limits = Limits {
            memory_max: Some(1 << 20),
            cpu_weight: Some(7),
            ..Limits::default()
        };
        let said = replaced_limits(&limits);
        let value = |name: &str| {
            said.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, v)| v.clone())
        };
        assert_eq!(value("MemoryMax"), Some((1_u64 << 20).into()));
        assert_eq!(value("CPUQuotaPerSecUSec"), Some(u64::MAX.into()));
        assert_eq!(value("MemoryLow"), Some(0_u64.into()));
        assert_eq!(
            (value("CPUWeight"), value("TasksMax")),
            (Some(7_u64.into()), None)
        );
    }

    #[test]
    fn what_is_not_limited_is_left_to_systemd() {
        assert_eq!(value(&spec(), "MemoryMax"), None);
        let limits = Limits {
            cpu_quota_per_sec: Some(Duration::from_millis(250)),
            ..Limits::default()
        };
        assert_eq!(
            value(&ServiceSpec { limits, ..spec() }, "CPUQuotaPerSecUSec"),
            Some(250_000_u64.into())
        );
    }
}
