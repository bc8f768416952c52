//! Small builders for tests.

use crate::facts::{NodeFacts, PodFacts, Usage};
use crate::resources::{CPU, MEMORY, PODS, Resources};

/// A usage of so many thousandths of a core.
pub(crate) fn usage(cpu: i64) -> Usage {
    let mut usage = Usage::default();
    usage.demand.requests.set(CPU, cpu);
    usage.demand.likely.set(CPU, cpu);
    usage
}

/// A node with so many thousandths of a core, 8 GiB and room for 10 pods.
pub(crate) fn node(name: &str, cpu: i64) -> NodeFacts {
    let mut allocatable = Resources::default();
    allocatable.set(CPU, cpu);
    allocatable.set(MEMORY, 8 << 30);
    allocatable.set(PODS, 10);
    NodeFacts {
        name: name.to_owned(),
        allocatable,
        ..NodeFacts::default()
    }
}

/// A pod that asks for so many thousandths of a core.
pub(crate) fn pod(uid: &str, cpu: i64) -> PodFacts {
    PodFacts {
        uid: uid.to_owned(),
        name: uid.to_owned(),
        namespace: "default".to_owned(),
        usage: usage(cpu),
        ..PodFacts::default()
    }
}
