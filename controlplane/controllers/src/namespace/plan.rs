//! What is next for a namespace that ends. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use controlplane_apimachinery::condition;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// The finalizer this controller stands for.
pub(super) const FINALIZER: &str = "kubernetes";

/// Objects left, by `resource.group` (`pods.` for the core group, as upstream writes it), and
/// the finalizers that hold them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) objects: BTreeMap<String, usize>,
    pub(super) finalizers: BTreeMap<String, usize>,
    /// Why the kinds of the server are not all known.
    pub(super) undiscovered: Option<String>,
    /// Why objects could not be listed or deleted.
    pub(super) failures: Vec<String>,
}

impl Rest {
    /// Whether nothing is left, for sure.
    fn is_nothing(&self) -> bool {
        self.objects.is_empty() && self.undiscovered.is_none() && self.failures.is_empty()
    }
}

/// The one thing to do now.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Nothing: it is not ending, or others hold it.
    Nothing,
    /// Take the finalizer off.
    Finalize,
    /// Write these conditions and look again after this long.
    Wait(Vec<NamespaceCondition>, Duration),
}

/// Whether the namespace is being deleted and still waits for this controller.
pub(super) fn is_ours(namespace: &Namespace) -> bool {
    let finalizers = namespace
        .spec
        .iter()
        .flat_map(|spec| spec.finalizers.iter().flatten());
    namespace.metadata.deletion_timestamp.is_some()
        && finalizers.into_iter().any(|finalizer| finalizer == FINALIZER)
}

/// The next step, once everything has been asked to go and `rest` is still there.
pub(super) fn plan(namespace: &Namespace, rest: &Rest, now: Timestamp) -> Step {
    if !is_ours(namespace) {
        return Step::Nothing;
    }
    if rest.is_nothing() {
        return Step::Finalize;
    }
    Step::Wait(conditions(namespace, rest, now), patience(namespace, now))
}

/// How long to wait: as long as it has taken, between 100 ms and 5 s. Only a namespace that ends
/// is looked at so.
fn patience(namespace: &Namespace, now: Timestamp) -> Duration {
    let begun = namespace.metadata.deletion_timestamp.as_ref();
    let age = begun.map_or(SignedDuration::ZERO, |begun| now.duration_since(begun.0));
    Duration::try_from(age / 4)
        .unwrap_or_default()
        .clamp(Duration::from_millis(100), Duration::from_secs(5))
}

/// One condition: its type, the reason and message while it holds, and those while it does not.
struct Statement {
    type_: &'static str,
    reason: &'static str,
    /// Absent while it does not hold.
    message: Option<String>,
    otherwise: (&'static str, &'static str),
}

fn conditions(namespace: &Namespace, rest: &Rest, now: Timestamp) -> Vec<NamespaceCondition> {
    let mut conditions: Vec<NamespaceCondition> = namespace
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .cloned()
        .collect();
    for statement in troubles(rest).into_iter().chain(remains(rest)) {
        let (idle_reason, idle_message) = statement.otherwise;
        let wanted = match &statement.message {
            Some(message) => stated(statement.type_, "True", statement.reason, message),
            None => stated(statement.type_, "False", idle_reason, idle_message),
        };
        condition::set(&mut conditions, wanted, now);
    }
    conditions
}

/// What went wrong.
fn troubles(rest: &Rest) -> [Statement; 3] {
    let failures = || format!("Failed to delete all resource types, {}", sum(&rest.failures));
    [
        Statement {
            type_: "NamespaceDeletionDiscoveryFailure",
            reason: "DiscoveryFailed",
            message: rest.undiscovered.clone(),
            otherwise: ("ResourcesDiscovered", "All resources successfully discovered"),
        },
        Statement {
            type_: "NamespaceDeletionGroupVersionParsingFailure",
            reason: "GroupVersionParsingFailed",
            message: None,
            otherwise: ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        },
        Statement {
            type_: "NamespaceDeletionContentFailure",
            reason: "ContentDeletionFailed",
            message: (!rest.failures.is_empty()).then(failures),
            otherwise: (
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
        },
    ]
}

/// What is left.
fn remains(rest: &Rest) -> [Statement; 2] {
    let told = |parts: &BTreeMap<String, usize>, begin: &str, words: &str| {
        let counts: Vec<String> = parts
            .iter()
            .map(|(name, count)| format!("{name} {words} {count} resource instances"))
            .collect();
        (!parts.is_empty()).then(|| format!("{begin}: {}", counts.join(", ")))
    };
    [
        Statement {
            type_: "NamespaceContentRemaining",
            reason: "SomeResourcesRemain",
            message: told(&rest.objects, "Some resources are remaining", "has"),
            otherwise: ("ContentRemoved", "All content successfully removed"),
        },
        Statement {
            type_: "NamespaceFinalizersRemaining",
            reason: "SomeFinalizersRemain",
            message: told(
                &rest.finalizers,
                "Some content in the namespace has finalizers remaining",
                "in",
            ),
            otherwise: (
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished",
            ),
        },
    ]
}

/// As upstream sums up what went wrong.
fn sum(all: &[String]) -> String {
    format!("{} remaining: {}", all.len(), all.join(", "))
}

fn stated(type_: &str, status: &str, reason: &str, message: &str) -> NamespaceCondition {
    NamespaceCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_transition_time: None,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{NamespaceSpec, NamespaceStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use kube::api::ObjectMeta;

    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_000, 0);

    fn ending() -> Namespace {
        Namespace {
            metadata: ObjectMeta {
                deletion_timestamp: Some(Time(NOW)),
                ..ObjectMeta::default()
            },
            spec: Some(NamespaceSpec {
                finalizers: Some(vec![FINALIZER.to_owned()]),
            }),
            status: None,
        }
    }

    fn rest() -> Rest {
        Rest {
            objects: [("pods.".to_owned(), 2)].into(),
            ..Rest::default()
        }
    }

    #[test]
    fn a_living_namespace_is_left_alone() {
        let living = Namespace::default();
        assert_eq!(plan(&living, &Rest::default(), NOW), Step::Nothing);
    }

    #[test]
    fn an_empty_one_is_let_go_and_leaves_nothing_to_plan() {
        let mut namespace = ending();
        assert_eq!(plan(&namespace, &Rest::default(), NOW), Step::Finalize);
        namespace.spec = None;
        assert_eq!(plan(&namespace, &Rest::default(), NOW), Step::Nothing);
    }

    #[test]
    fn what_remains_is_told_in_a_condition_that_keeps_its_time() {
        let mut namespace = ending();
        let Step::Wait(conditions, _) = plan(&namespace, &rest(), NOW) else {
            panic!("pods remain");
        };
        let remaining = conditions
            .iter()
            .find(|condition| condition.type_ == "NamespaceContentRemaining");
        assert_eq!(
            remaining.and_then(|condition| condition.message.as_deref()),
            Some("Some resources are remaining: pods. has 2 resource instances")
        );
        namespace.status = Some(NamespaceStatus {
            conditions: Some(conditions.clone()),
            phase: None,
        });
        let later = NOW + SignedDuration::from_secs(10);
        let Step::Wait(again, pause) = plan(&namespace, &rest(), later) else {
            panic!("pods remain");
        };
        assert_eq!(again, conditions);
        assert_eq!(pause, Duration::from_millis(2500));
    }

    #[test]
    fn a_namespace_stays_while_a_kind_cannot_be_emptied_or_is_not_known() {
        let failing = Rest {
            failures: vec!["secrets.: refused".to_owned()],
            ..Rest::default()
        };
        let unknown = Rest {
            undiscovered: Some("no answer".to_owned()),
            ..Rest::default()
        };
        for (rest, type_, reason) in [
            (
                failing,
                "NamespaceDeletionContentFailure",
                "ContentDeletionFailed",
            ),
            (unknown, "NamespaceDeletionDiscoveryFailure", "DiscoveryFailed"),
        ] {
            let Step::Wait(conditions, _) = plan(&ending(), &rest, NOW) else {
                panic!("{rest:?}");
            };
            let told: Vec<_> = conditions
                .iter()
                .filter(|condition| condition.status == "True")
                .map(|condition| (condition.type_.as_str(), condition.reason.as_deref()))
                .collect();
            assert_eq!(told, [(type_, Some(reason))]);
        }
    }
}
