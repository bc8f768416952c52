//! The pod's quality-of-service class.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::quantity::nano;

/// How much a pod's resources are promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QosClass {
    /// Every container has cpu and memory limits, and requests equal to them.
    Guaranteed,
    /// Some container asks for something.
    Burstable,
    /// Nothing is asked for.
    BestEffort,
}

impl QosClass {
    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

type Resources = BTreeMap<String, Quantity>;

/// The class of a pod with this spec; pod-level resources count before the containers'.
#[must_use]
pub fn qos_class(spec: &PodSpec) -> QosClass {
    let all: Vec<Option<&ResourceRequirements>> = match &spec.resources {
        Some(pod) => vec![Some(pod)],
        None => {
            let every = spec.init_containers.iter().flatten().chain(&spec.containers);
            every
                .map(|container: &Container| container.resources.as_ref())
                .collect()
        }
    };
    let empty = ResourceRequirements::default();
    let each = || all.iter().map(|given| given.unwrap_or(&empty));
    if each().all(|given| !asks(given.requests.as_ref()) && !asks(given.limits.as_ref())) {
        return QosClass::BestEffort;
    }
    if each().all(is_guaranteed) {
        QosClass::Guaranteed
    } else {
        QosClass::Burstable
    }
}

fn amount(resources: Option<&Resources>, name: &str) -> Option<i128> {
    resources?.get(name).and_then(nano).filter(|value| *value > 0)
}

fn asks(resources: Option<&Resources>) -> bool {
    ["cpu", "memory"]
        .iter()
        .any(|name| amount(resources, name).is_some())
}

fn is_guaranteed(given: &ResourceRequirements) -> bool {
    ["cpu", "memory"].iter().all(|name| {
        let limit = amount(given.limits.as_ref(), name);
        // A request that is absent is the limit.
        limit.is_some() && amount(given.requests.as_ref(), name).is_none_or(|request| Some(request) == limit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(requests: &[(&str, &str)], limits: &[(&str, &str)]) -> PodSpec {
        let map = |pairs: &[(&str, &str)]| {
            Some(
                pairs
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), Quantity((*v).to_owned())))
                    .collect(),
            )
        };
        let resources = ResourceRequirements {
            requests: map(requests),
            limits: map(limits),
            ..Default::default()
        };
        PodSpec {
            containers: vec![Container {
                resources: Some(resources),
                ..Container::default()
            }],
            ..PodSpec::default()
        }
    }

    #[test]
    fn a_pod_that_asks_for_nothing_is_best_effort() {
        assert_eq!(qos_class(&spec(&[], &[])), QosClass::BestEffort);
    }

    #[test]
    fn equal_requests_and_limits_in_other_units_are_guaranteed() {
        let spec = spec(
            &[("cpu", "1"), ("memory", "1Gi")],
            &[("cpu", "1000m"), ("memory", "1024Mi")],
        );
        assert_eq!(qos_class(&spec), QosClass::Guaranteed);
    }

    #[test]
    fn limits_alone_are_guaranteed_and_requests_alone_burstable() {
        assert_eq!(
            qos_class(&spec(&[], &[("cpu", "1"), ("memory", "1Gi")])),
            QosClass::Guaranteed
        );
        assert_eq!(qos_class(&spec(&[("cpu", "1")], &[])), QosClass::Burstable);
    }
}
