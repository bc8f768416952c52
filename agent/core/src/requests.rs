//! What a pod asks of its node.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::policy::{Role, containers};
use crate::quantity::{milli, units};

/// Amounts by resource: cpu in thousandths, everything else in whole units.
pub type Amounts = BTreeMap<String, u64>;

/// What a pod with this spec is promised while it runs: the larger of what its containers need together
/// and what its init containers need one after the other, each beside the sidecars before it; what the
/// pod asks for as a whole counts before that; its overhead comes on top.
#[must_use]
pub fn requests(spec: &PodSpec) -> Amounts {
    let (mut together, mut sidecars, mut most) = (Amounts::new(), Amounts::new(), Amounts::new());
    for (role, container) in containers(spec) {
        let asked = of_container(container);
        match role {
            Role::Init => largest(&mut most, &sum(&asked, &sidecars)),
            Role::Sidecar => {
                sidecars = sum(&sidecars, &asked);
                // While a sidecar starts, those before it run already.
                largest(&mut most, &sidecars);
            }
            Role::Main => together = sum(&together, &asked),
            Role::Ephemeral => {}
        }
    }
    largest(&mut most, &sum(&together, &sidecars));
    most.extend(spec.resources.as_ref().map(of).unwrap_or_default());
    let overhead = spec.overhead.as_ref();
    sum(&most, &overhead.map(amounts).unwrap_or_default())
}

fn of_container(container: &Container) -> Amounts {
    container.resources.as_ref().map(of).unwrap_or_default()
}

/// The requests; a resource that has a limit alone is asked for up to it.
fn of(resources: &ResourceRequirements) -> Amounts {
    let mut all = resources.limits.as_ref().map(amounts).unwrap_or_default();
    all.extend(resources.requests.as_ref().map(amounts).unwrap_or_default());
    all
}

fn amounts(quantities: &BTreeMap<String, Quantity>) -> Amounts {
    let read = |(name, quantity): (&String, &Quantity)| {
        let amount = if name == "cpu" {
            milli(quantity)
        } else {
            units(quantity)
        };
        Some((name.clone(), amount?))
    };
    quantities.iter().filter_map(read).collect()
}

/// The sum, resource by resource.
pub(crate) fn sum(left: &Amounts, right: &Amounts) -> Amounts {
    let mut all = left.clone();
    for (name, amount) in right {
        let entry = all.entry(name.clone()).or_default();
        *entry = entry.saturating_add(*amount);
    }
    all
}

fn largest(most: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let entry = most.entry(name.clone()).or_default();
        *entry = (*entry).max(*amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(cpu: &str) -> Option<BTreeMap<String, Quantity>> {
        Some(BTreeMap::from([("cpu".to_owned(), Quantity(cpu.to_owned()))]))
    }

    fn container(cpu: &str, sidecar: bool) -> Container {
        Container {
            restart_policy: sidecar.then(|| "Always".to_owned()),
            resources: Some(ResourceRequirements {
                requests: map(cpu),
                ..ResourceRequirements::default()
            }),
            ..Container::default()
        }
    }

    fn cpu(init: &[(&str, bool)], main: &[&str]) -> u64 {
        let spec = PodSpec {
            init_containers: Some(
                init.iter()
                    .map(|(cpu, sidecar)| container(cpu, *sidecar))
                    .collect(),
            ),
            containers: main.iter().map(|cpu| container(cpu, false)).collect(),
            ..PodSpec::default()
        };
        requests(&spec).get("cpu").copied().unwrap_or_default()
    }

    #[test]
    fn containers_add_up_and_init_containers_take_turns() {
        assert_eq!(cpu(&[], &["100m", "200m"]), 300);
        assert_eq!(cpu(&[("1", false), ("500m", false)], &["100m"]), 1000);
        assert_eq!(cpu(&[("50m", false)], &["100m"]), 100);
    }

    #[test]
    fn a_sidecar_counts_beside_what_starts_after_it() {
        assert_eq!(cpu(&[("100m", true), ("1", false)], &["200m"]), 1100);
        assert_eq!(cpu(&[("1", false), ("100m", true)], &["200m"]), 1000);
        assert_eq!(cpu(&[("100m", true)], &["200m"]), 300);
    }

    #[test]
    fn a_limit_stands_in_for_a_request_and_the_pods_own_counts_first() {
        let limited = ResourceRequirements {
            limits: map("2"),
            ..ResourceRequirements::default()
        };
        let spec = PodSpec {
            containers: vec![Container {
                resources: Some(limited),
                ..Container::default()
            }],
            ..PodSpec::default()
        };
        assert_eq!(requests(&spec).get("cpu"), Some(&2000));
        let whole = PodSpec {
            resources: Some(ResourceRequirements {
                requests: map("1"),
                ..ResourceRequirements::default()
            }),
            overhead: map("10m"),
            ..spec
        };
        assert_eq!(requests(&whole).get("cpu"), Some(&1010));
    }
}
