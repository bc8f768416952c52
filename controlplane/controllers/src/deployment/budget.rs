//! How many pods there may be, and must be, during a rollout.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The numbers a rollout keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    /// `spec.replicas`.
    pub(crate) replicas: i32,
    /// Pods there may be beyond that.
    pub(crate) max_surge: i32,
    /// Pods that may be missing.
    pub(crate) max_unavailable: i32,
}

impl Budget {
    /// Reads a Deployment: a percentage of surge is rounded up, one of unavailability down, and
    /// where both come to nothing one pod may be missing, for otherwise nothing could move.
    pub(crate) fn of(deployment: &Deployment) -> Self {
        let replicas = replicas(deployment);
        let (max_surge, max_unavailable) = match rolling(deployment) {
            None => (0, 0),
            Some((surge, unavailable)) => {
                let surge = resolve(surge, replicas, Rounding::Up);
                let missing = resolve(unavailable, replicas, Rounding::Down);
                let missing = if surge == 0 && missing == 0 { 1 } else { missing };
                (surge, missing.min(replicas))
            }
        };
        Self {
            replicas,
            max_surge,
            max_unavailable,
        }
    }

    /// The most pods there may be.
    pub(crate) fn most(&self) -> i32 {
        self.replicas.saturating_add(self.max_surge)
    }

    /// The fewest pods that must be available.
    pub(crate) fn fewest(&self) -> i32 {
        self.replicas - self.max_unavailable
    }
}

#[derive(Debug, Clone, Copy)]
enum Rounding {
    Up,
    Down,
}

type Limits<'a> = (Option<&'a IntOrString>, Option<&'a IntOrString>);

/// `maxSurge` and `maxUnavailable` of a rolling update, which is also the default strategy.
fn rolling(deployment: &Deployment) -> Option<Limits<'_>> {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    if is_recreate(deployment) {
        return None;
    }
    let limits = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    Some((
        limits.and_then(|limits| limits.max_surge.as_ref()),
        limits.and_then(|limits| limits.max_unavailable.as_ref()),
    ))
}

/// Whether the old pods go before the new ones come.
pub(crate) fn is_recreate(deployment: &Deployment) -> bool {
    deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.strategy.as_ref())
        .and_then(|strategy| strategy.type_.as_deref())
        == Some("Recreate")
}

fn resolve(limit: Option<&IntOrString>, replicas: i32, rounding: Rounding) -> i32 {
    let percent = match limit {
        Some(IntOrString::Int(number)) => return (*number).max(0),
        Some(IntOrString::String(text)) => text.trim_end_matches('%').parse::<i64>().unwrap_or_default(),
        None => 25,
    };
    let product = i64::from(replicas) * percent.max(0);
    let share = match rounding {
        Rounding::Up => (product + 99) / 100,
        Rounding::Down => product / 100,
    };
    i32::try_from(share).unwrap_or(i32::MAX)
}

/// How many pods the Deployment wants.
pub(crate) fn replicas(deployment: &Deployment) -> i32 {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    wanted.unwrap_or(1).max(0)
}

/// How many pods a set is asked to have.
pub(crate) fn size(set: &ReplicaSet) -> i32 {
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas);
    wanted.unwrap_or(1).max(0)
}

/// How many pods of a set are available and will stay: a status may still count pods that the
/// set has been told to give up.
pub(crate) fn available(set: &ReplicaSet) -> i32 {
    let counted = set.status.as_ref().and_then(|status| status.available_replicas);
    counted.unwrap_or_default().min(size(set))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};

    use super::*;

    fn budget(replicas: i32, surge: &str, unavailable: &str) -> (i32, i32) {
        let read = |raw: &str| {
            Some(
                raw.parse()
                    .map_or_else(|_| IntOrString::String(raw.to_owned()), IntOrString::Int),
            )
        };
        let deployment = Deployment {
            spec: Some(DeploymentSpec {
                replicas: Some(replicas),
                strategy: Some(DeploymentStrategy {
                    type_: Some("RollingUpdate".into()),
                    rolling_update: Some(RollingUpdateDeployment {
                        max_surge: read(surge),
                        max_unavailable: read(unavailable),
                    }),
                }),
                ..DeploymentSpec::default()
            }),
            ..Deployment::default()
        };
        let budget = Budget::of(&deployment);
        (budget.max_surge, budget.max_unavailable)
    }

    #[test]
    fn percentages_round_as_upstream_does() {
        let table = [
            (10, "25%", "25%", (3, 2)),
            (1, "25%", "25%", (1, 0)),
            (3, "0", "0%", (0, 1)),
            (3, "2", "5", (2, 3)),
            (0, "25%", "25%", (0, 0)),
        ];
        for (replicas, surge, unavailable, expected) in table {
            assert_eq!(budget(replicas, surge, unavailable), expected);
        }
    }
}
