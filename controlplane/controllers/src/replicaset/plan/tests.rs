use k8s_openapi::api::apps::v1::ReplicaSetSpec;
use k8s_openapi::api::core::v1::{PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube::api::ObjectMeta;
use proptest::prelude::*;

use super::*;
use crate::meta;

const NOW: Timestamp = Timestamp::constant(1_000_000, 0);

fn set(replicas: i32) -> ReplicaSet {
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some("web".into()),
            namespace: Some("default".into()),
            uid: Some("set".into()),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(replicas),
            selector: LabelSelector {
                match_labels: Some([("app".to_owned(), "web".to_owned())].into()),
                match_expressions: None,
            },
            ..ReplicaSetSpec::default()
        }),
        status: None,
    }
}

#[derive(Debug, Clone, Copy)]
struct Shape {
    owned: bool,
    labelled: bool,
    deleting: bool,
    phase: &'static str,
    ready: bool,
}

fn pod(uid: usize, shape: Shape) -> Arc<Pod> {
    Arc::new(Pod {
        metadata: ObjectMeta {
            name: Some(format!("web-{uid}")),
            uid: Some(format!("uid-{uid}")),
            labels: shape
                .labelled
                .then(|| [("app".to_owned(), "web".to_owned())].into()),
            owner_references: shape.owned.then(|| vec![meta::controller_reference(&set(0))]),
            deletion_timestamp: shape.deleting.then_some(Time(NOW)),
            ..ObjectMeta::default()
        },
        spec: None,
        status: Some(PodStatus {
            phase: Some(shape.phase.into()),
            conditions: Some(vec![PodCondition {
                type_: "Ready".into(),
                status: if shape.ready { "True" } else { "False" }.into(),
                last_transition_time: Some(Time(NOW)),
                ..PodCondition::default()
            }]),
            ..PodStatus::default()
        }),
    })
}

const FRESH: Shape = Shape {
    owned: true,
    labelled: true,
    deleting: false,
    phase: "Pending",
    ready: false,
};

fn shapes() -> impl Strategy<Value = Shape> {
    let phase = prop_oneof![
        Just("Pending"),
        Just("Running"),
        Just("Succeeded"),
        Just("Failed")
    ];
    (any::<[bool; 4]>(), phase).prop_map(|([owned, labelled, deleting, ready], phase)| Shape {
        owned,
        labelled,
        deleting,
        phase,
        ready,
    })
}

fn world() -> impl Strategy<Value = Vec<Arc<Pod>>> {
    proptest::collection::vec(shapes(), 0..12)
        .prop_map(|shapes| shapes.into_iter().enumerate().map(|(n, s)| pod(n, s)).collect())
}

/// The world after `step`, as an API server would have it.
fn after(mut world: Vec<Arc<Pod>>, step: &Step) -> Vec<Arc<Pod>> {
    let edit = |world: &mut Vec<Arc<Pod>>, target: &Pod, change: &dyn Fn(&mut Pod)| {
        let found = world
            .iter_mut()
            .find(|pod| pod.metadata.uid == target.metadata.uid);
        change(Arc::make_mut(found.expect("a step names a pod that exists")));
    };
    match step {
        Step::Create(count) => {
            for _ in 0..*count {
                world.push(pod(1000 + world.len(), FRESH));
            }
        }
        Step::Delete(target) => edit(&mut world, target, &|pod| {
            pod.metadata.deletion_timestamp = Some(Time(NOW));
        }),
        Step::Adopt(target) => edit(&mut world, target, &|pod| {
            pod.metadata.owner_references = Some(vec![meta::controller_reference(&set(0))]);
        }),
        Step::Release(target) => edit(&mut world, target, &|pod| {
            pod.metadata.owner_references = None;
        }),
    }
    world
}

fn replicas(world: &[Arc<Pod>]) -> usize {
    world
        .iter()
        .filter(|pod| meta::is_controlled_by(&pod.metadata, "set") && pods::is_active(pod))
        .count()
}

proptest! {
    #[test]
    fn an_applied_plan_leaves_nothing_to_plan(world in world(), wanted in 0..12) {
        let steps = plan(&set(wanted), &world, &Crowding::new(), NOW);
        let world = steps.iter().fold(world, after);
        prop_assert_eq!(plan(&set(wanted), &world, &Crowding::new(), NOW), vec![]);
    }

    #[test]
    fn no_prefix_of_a_plan_overshoots_its_goal(world in world(), wanted in 0..12) {
        let goal = usize::try_from(wanted).unwrap();
        let steps = plan(&set(wanted), &world, &Crowding::new(), NOW);
        let (claims, counted): (Vec<_>, Vec<_>) = steps
            .into_iter()
            .partition(|step| matches!(step, Step::Adopt(_) | Step::Release(_)));
        let mut world = claims.iter().fold(world, after);
        let before = replicas(&world);
        for step in &counted {
            world = after(world, step);
            let count = replicas(&world);
            prop_assert!(count >= before.min(goal) && count <= before.max(goal));
        }
        prop_assert_eq!(replicas(&world), goal);
    }

    #[test]
    fn no_ready_pod_goes_while_an_unready_one_stays(world in world(), wanted in 0..12) {
        let steps = plan(&set(wanted), &world, &Crowding::new(), NOW);
        let deleted: Vec<&Arc<Pod>> = steps.iter().filter_map(|step| match step {
            Step::Delete(pod) => Some(pod),
            _ => None,
        }).collect();
        let kept = world.iter().filter(|pod| {
            meta::is_controlled_by(&pod.metadata, "set")
                && pods::is_active(pod)
                && claim_of(&set(0)).matches(&pod.metadata)
                && !deleted.contains(pod)
        });
        let running_unready_kept = kept
            .filter(|pod| pods::phase(pod) == "Running" && pods::ready(pod).is_none())
            .count();
        let ready_running_deleted = deleted
            .iter()
            .filter(|pod| pods::phase(pod) == "Running" && pods::ready(pod).is_some())
            .count();
        prop_assert!(running_unready_kept == 0 || ready_running_deleted == 0);
    }
}

#[test]
fn a_set_being_deleted_creates_and_deletes_no_pods() {
    let mut set = set(3);
    set.metadata.deletion_timestamp = Some(Time(NOW));
    assert_eq!(plan(&set, &[], &Crowding::new(), NOW), vec![]);
}
