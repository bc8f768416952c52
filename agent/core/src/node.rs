//! The Node object's facts and conditions.

use std::collections::BTreeMap;

use controlplane_apimachinery::condition;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::NodeCondition;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Memory that eviction keeps free: subtracted from what pods may be promised.
pub const EVICTION_MEMORY: u64 = 100 << 20;

/// Share of the node's file system that eviction keeps free unless told otherwise, in percent.
pub const EVICTION_DISK_PERCENT: u64 = 10;

/// What the machine has, in the units of the fields' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// CPUs, in thousandths.
    pub milli_cpu: u64,
    /// Memory, bytes.
    pub memory: u64,
    /// File system of the node state, bytes.
    pub disk: u64,
    /// Pods the node takes.
    pub pods: u64,
}

impl Machine {
    /// What is left of it for pods once `reserved` is kept for the system, and the eviction
    /// thresholds for the node itself.
    #[must_use]
    pub const fn allocatable(self, reserved: Reserved) -> Self {
        Self {
            milli_cpu: self.milli_cpu.saturating_sub(reserved.milli_cpu),
            memory: self
                .memory
                .saturating_sub(reserved.memory)
                .saturating_sub(EVICTION_MEMORY),
            disk: self.disk - self.disk / 100 * EVICTION_DISK_PERCENT,
            pods: self.pods,
        }
    }

    /// As the API writes it.
    #[must_use]
    pub fn quantities(self) -> BTreeMap<String, Quantity> {
        let cpu = if self.milli_cpu.is_multiple_of(1000) {
            (self.milli_cpu / 1000).to_string()
        } else {
            format!("{}m", self.milli_cpu)
        };
        let pairs = [
            ("cpu", cpu),
            ("memory", format!("{}Ki", self.memory / 1024)),
            ("ephemeral-storage", format!("{}Ki", self.disk / 1024)),
            ("pods", self.pods.to_string()),
        ];
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Quantity(value)))
            .collect()
    }

    /// In plain numbers, cpus in thousandths: what unset limits mean in [`crate::env::Sources`].
    #[must_use]
    pub fn units(self) -> BTreeMap<String, u64> {
        let pairs = [
            ("cpu", self.milli_cpu),
            ("memory", self.memory),
            ("ephemeral-storage", self.disk),
        ];
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// What is kept for the system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reserved {
    /// CPUs, in thousandths.
    pub milli_cpu: u64,
    /// Memory, bytes.
    pub memory: u64,
}

/// What the conditions are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Why the node cannot take pods, where it cannot.
    pub unready: Option<String>,
    /// Free memory, bytes.
    pub memory_available: u64,
    /// Free part of the node's file system, percent.
    pub disk_free_percent: u64,
    /// Part of it that is to stay free, percent.
    pub disk_kept_percent: u64,
    /// Process ids left.
    pub pids_free: u64,
    /// Why limits of pods are not enforced, where they are not.
    pub limits_unenforced: Option<String>,
}

/// The node's conditions; `previous` keeps the times of those whose status did not change, and
/// conditions of other writers stay.
#[must_use]
pub fn conditions(health: &Health, previous: &[NodeCondition], now: Timestamp) -> Vec<NodeCondition> {
    let mut all: Vec<NodeCondition> = facts(health)
        .into_iter()
        .map(|fact| dated(fact, previous, now))
        .collect();
    let foreign: Vec<NodeCondition> = previous
        .iter()
        .filter(|old| all.iter().all(|ours| ours.type_ != old.type_))
        .cloned()
        .collect();
    all.extend(foreign);
    all
}

/// A condition before it has times.
struct Fact {
    type_: &'static str,
    holds: bool,
    reason: String,
    message: String,
}

impl Fact {
    fn new(type_: &'static str, holds: bool, reason: &str, message: &str) -> Self {
        Self {
            type_,
            holds,
            reason: reason.to_owned(),
            message: message.to_owned(),
        }
    }
}

fn facts(health: &Health) -> [Fact; 5] {
    let ready = match &health.unready {
        None => Fact::new(
            "Ready",
            true,
            "KubeletReady",
            "floe-agent is posting ready status",
        ),
        Some(why) => Fact::new("Ready", false, "KubeletNotReady", why),
    };
    let limits = match &health.limits_unenforced {
        None => Fact::new(
            "ResourceLimitsEnforced",
            true,
            "CgroupV2",
            "limits of pods are enforced",
        ),
        Some(why) => Fact::new("ResourceLimitsEnforced", false, "CgroupV1", why),
    };
    let disk = health.disk_free_percent < health.disk_kept_percent;
    let disk = if disk {
        Fact::new(
            "DiskPressure",
            true,
            "KubeletHasDiskPressure",
            "kubelet has disk pressure",
        )
    } else {
        Fact::new(
            "DiskPressure",
            false,
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        )
    };
    [
        scarcity(
            "MemoryPressure",
            "Memory",
            "memory available",
            health.memory_available < EVICTION_MEMORY,
        ),
        disk,
        scarcity("PIDPressure", "PID", "PID available", health.pids_free < 1000),
        limits,
        ready,
    ]
}

fn scarcity(type_: &'static str, what: &str, words: &str, scarce: bool) -> Fact {
    let amount = if scarce { "insufficient" } else { "sufficient" };
    let reason = if scarce {
        "KubeletHasInsufficient"
    } else {
        "KubeletHasSufficient"
    };
    Fact::new(
        type_,
        scarce,
        &format!("{reason}{what}"),
        &format!("kubelet has {amount} {words}"),
    )
}

fn dated(fact: Fact, previous: &[NodeCondition], now: Timestamp) -> NodeCondition {
    let status = if fact.holds { "True" } else { "False" };
    let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let wanted = NodeCondition {
        type_: fact.type_.to_owned(),
        status: status.to_owned(),
        reason: Some(fact.reason),
        message: Some(fact.message),
        last_heartbeat_time: Some(Time(seconds)),
        last_transition_time: None,
    };
    condition::dated(wanted, previous, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: Health = Health {
        unready: None,
        memory_available: 1 << 30,
        disk_free_percent: 50,
        disk_kept_percent: EVICTION_DISK_PERCENT,
        pids_free: 30_000,
        limits_unenforced: None,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn allocatable_is_capacity_less_what_is_reserved_and_the_eviction_threshold() {
        let machine = Machine {
            milli_cpu: 2000,
            memory: 1 << 30,
            disk: 1000,
            pods: 110,
        };
        let left = machine.allocatable(Reserved {
            milli_cpu: 100,
            memory: 50 << 20,
        });
        assert_eq!(
            left,
            Machine {
                milli_cpu: 1900,
                memory: (1024 - 150) << 20,
                disk: 900,
                pods: 110
            }
        );
        assert_eq!(left.quantities().get("cpu").unwrap().0, "1900m");
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_moves() {
        let first = conditions(&HEALTHY, &[], at(1));
        let same = conditions(&HEALTHY, &first, at(2));
        let sick = conditions(
            &Health {
                unready: Some("x".to_owned()),
                ..HEALTHY
            },
            &same,
            at(3),
        );
        let since = |all: &[NodeCondition]| {
            let ready = all.iter().find(|c| c.type_ == "Ready").unwrap();
            ready.last_transition_time.as_ref().unwrap().0.as_second()
        };
        assert_eq!([since(&first), since(&same), since(&sick)], [1, 1, 3]);
    }

    #[test]
    fn limits_that_are_not_enforced_are_a_condition_and_the_node_stays_ready() {
        let health = Health {
            limits_unenforced: Some("cgroup v1".to_owned()),
            ..HEALTHY
        };
        let all = conditions(&health, &[], at(1));
        let status = |type_: &str| all.iter().find(|c| c.type_ == type_).unwrap().status.clone();
        assert_eq!(
            (
                status("ResourceLimitsEnforced").as_str(),
                status("Ready").as_str()
            ),
            ("False", "True")
        );
    }
}
