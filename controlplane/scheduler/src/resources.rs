//! Amounts of resources, and what a pod asks for.

use std::collections::BTreeMap;

use controlplane_api::Quantity as Amount;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// CPU, counted in thousandths of a core.
pub(crate) const CPU: &str = "cpu";
/// Memory, counted in bytes.
pub(crate) const MEMORY: &str = "memory";
/// Places for pods.
pub(crate) const PODS: &str = "pods";

/// What a container without a request is taken to use when nodes are compared (never when they are
/// filtered), as upstream: 100 thousandths of a core and 200 MB.
const UNSTATED_CPU: i64 = 100;
const UNSTATED_MEMORY: i64 = 200 * 1024 * 1024;

/// Amounts by resource name: CPU in thousandths, everything else in units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Resources(BTreeMap<String, i64>);

impl Resources {
    /// Reads a list of the API; what cannot be read counts as absent, for the server has
    /// validated it.
    pub(crate) fn read(list: Option<&BTreeMap<String, Quantity>>) -> Self {
        let amounts = list.into_iter().flatten().filter_map(|(name, quantity)| {
            let amount = Amount::parse(&quantity.0).ok()?;
            let number = if name == CPU {
                amount.milli()
            } else {
                amount.bytes()
            };
            Some((name.clone(), number))
        });
        Self(amounts.collect())
    }

    /// The amount of a resource, zero where there is none.
    pub(crate) fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Sets an amount.
    pub(crate) fn set(&mut self, name: &str, amount: i64) {
        self.0.insert(name.to_owned(), amount);
    }

    /// Whether the resource is named at all.
    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Names and amounts, in order of name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// Adds every amount of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        self.combine(other, i64::saturating_add);
    }

    /// Takes every amount of `other` away.
    pub(crate) fn subtract(&mut self, other: &Self) {
        self.combine(other, i64::saturating_sub);
        self.0.retain(|_, amount| *amount != 0);
    }

    /// Keeps the greater amount of each resource.
    fn raise_to(&mut self, other: &Self) {
        self.combine(other, i64::max);
    }

    fn combine(&mut self, other: &Self, join: impl Fn(i64, i64) -> i64) {
        for (name, amount) in &other.0 {
            let mine = self.0.entry(name.clone()).or_default();
            *mine = join(*mine, *amount);
        }
    }
}

/// What a pod takes from its node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    /// What must be free.
    pub(crate) requests: Resources,
    /// The same with a guess for containers that state nothing, for comparing nodes.
    pub(crate) likely: Resources,
}

impl Demand {
    /// Sums up a pod: its containers and sidecars together, or the hungriest moment of its init
    /// containers where that is more, and its overhead.
    pub(crate) fn of(pod: &Pod) -> Self {
        let Some(spec) = pod.spec.as_ref() else {
            return Self::default();
        };
        let holds = Holds::of(pod);
        Self {
            requests: total(spec, |container| holds.by(container)),
            likely: total(spec, |container| {
                let mut resources = holds.by(container);
                for (name, amount) in [(CPU, UNSTATED_CPU), (MEMORY, UNSTATED_MEMORY)] {
                    if !resources.has(name) {
                        resources.set(name, amount);
                    }
                }
                resources
            }),
        }
    }
}

/// What a node has promised the containers of a pod, and what they have, while the pod is resized.
#[derive(Debug, Default)]
struct Holds {
    by_name: BTreeMap<String, Resources>,
    /// Whether the node will never promise what the spec asks for.
    infeasible: bool,
}

impl Holds {
    fn of(pod: &Pod) -> Self {
        let Some(status) = pod.status.as_ref() else {
            return Self::default();
        };
        let init = status.init_container_statuses.iter().flatten();
        let each = init
            .chain(status.container_statuses.iter().flatten())
            .map(|container| {
                let mut held = Resources::read(container.allocated_resources.as_ref());
                let has = container.resources.as_ref().and_then(|has| has.requests.as_ref());
                held.raise_to(&Resources::read(has));
                (container.name.clone(), held)
            });
        let mut conditions = status.conditions.iter().flatten();
        Self {
            by_name: each.collect(),
            infeasible: conditions.any(|condition| {
                condition.type_ == "PodResizePending" && condition.reason.as_deref() == Some("Infeasible")
            }),
        }
    }

    /// What must be free for `container`: what it asks for or what it holds, whichever is more; what can never be had
    /// does not count.
    fn by(&self, container: &Container) -> Resources {
        let mut resources = stated(container);
        match self.by_name.get(&container.name) {
            Some(held) if self.infeasible => {
                for (name, amount) in held.iter() {
                    resources.set(name, amount);
                }
            }
            Some(held) => resources.raise_to(held),
            None => {}
        }
        resources
    }
}

fn stated(container: &Container) -> Resources {
    let requests = container
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref());
    Resources::read(requests)
}

fn total(spec: &PodSpec, of: impl Fn(&Container) -> Resources) -> Resources {
    let mut running = Resources::default();
    for container in &spec.containers {
        running.add(&of(container));
    }
    let mut sidecars = Resources::default();
    let mut starting = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&of(container));
            starting.raise_to(&sidecars);
        } else {
            let mut moment = of(container);
            moment.add(&sidecars);
            starting.raise_to(&moment);
        }
    }
    running.add(&sidecars);
    running.raise_to(&starting);
    let pod_level = spec
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref());
    for (name, amount) in Resources::read(pod_level).iter() {
        running.set(name, amount);
    }
    running.add(&Resources::read(spec.overhead.as_ref()));
    running
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ResourceRequirements;

    use super::*;

    fn container(cpu: &str, always: bool) -> Container {
        Container {
            restart_policy: always.then(|| "Always".to_owned()),
            resources: Some(ResourceRequirements {
                requests: Some([(CPU.to_owned(), Quantity(cpu.to_owned()))].into()),
                ..ResourceRequirements::default()
            }),
            ..Container::default()
        }
    }

    fn demand(spec: &PodSpec) -> Demand {
        Demand::of(&Pod {
            spec: Some(spec.clone()),
            ..Pod::default()
        })
    }

    fn cpu(spec: &PodSpec) -> i64 {
        demand(spec).requests.get(CPU)
    }

    #[test]
    fn a_pod_that_is_resized_takes_what_it_asks_for_or_what_it_holds() {
        let takes = |asked: &str, held: &str, reason: &str| {
            let status = serde_json::json!({
                "containerStatuses": [{
                    "name": "c", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "allocatedResources": {"cpu": held}, "resources": {"requests": {"cpu": "50m"}},
                }],
                "conditions": [{"type": "PodResizePending", "status": "True", "reason": reason}],
            });
            let named = Container {
                name: "c".to_owned(),
                ..container(asked, false)
            };
            let pod = Pod {
                spec: Some(PodSpec {
                    containers: vec![named],
                    ..PodSpec::default()
                }),
                status: Some(serde_json::from_value(status).unwrap()),
                ..Pod::default()
            };
            Demand::of(&pod).requests.get(CPU)
        };
        assert_eq!(takes("300m", "100m", "Deferred"), 300);
        assert_eq!(takes("50m", "100m", "Deferred"), 100);
        assert_eq!(takes("1000", "100m", "Infeasible"), 100);
    }

    #[test]
    fn a_hungry_init_container_sets_the_demand() {
        let mut spec = PodSpec {
            containers: vec![container("200m", false), container("0.1", false)],
            init_containers: Some(vec![container("250m", false)]),
            ..PodSpec::default()
        };
        assert_eq!(cpu(&spec), 300);
        spec.init_containers = Some(vec![container("1", false)]);
        assert_eq!(cpu(&spec), 1000);
    }

    #[test]
    fn a_sidecar_counts_beside_containers_and_later_init_containers() {
        let spec = PodSpec {
            containers: vec![container("100m", false)],
            init_containers: Some(vec![container("50m", true), container("400m", false)]),
            ..PodSpec::default()
        };
        assert_eq!(cpu(&spec), 450);
    }

    #[test]
    fn overhead_is_added_and_silence_is_guessed_only_for_comparing() {
        let spec = PodSpec {
            containers: vec![Container::default()],
            overhead: Some([(CPU.to_owned(), Quantity("10m".into()))].into()),
            ..PodSpec::default()
        };
        let demand = demand(&spec);
        assert_eq!(demand.requests.get(CPU), 10);
        assert_eq!(demand.likely.get(CPU), 110);
    }
}
