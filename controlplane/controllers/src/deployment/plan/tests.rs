use k8s_openapi::api::apps::v1::{
    DeploymentSpec, DeploymentStatus, DeploymentStrategy, ReplicaSetSpec, ReplicaSetStatus,
    RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;
use proptest::prelude::*;

use super::*;

fn template(image: &str) -> PodTemplateSpec {
    PodTemplateSpec {
        metadata: None,
        spec: Some(PodSpec {
            containers: vec![Container {
                image: Some(image.to_owned()),
                ..Container::default()
            }],
            ..PodSpec::default()
        }),
    }
}

/// A Deployment of the template `new`.
fn deployment(replicas: i32, surge: i32, unavailable: i32) -> Deployment {
    Deployment {
        metadata: ObjectMeta {
            name: Some("web".into()),
            namespace: Some("default".into()),
            uid: Some("deployment".into()),
            generation: Some(2),
            ..ObjectMeta::default()
        },
        spec: Some(DeploymentSpec {
            replicas: Some(replicas),
            template: template("new"),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(surge)),
                    max_unavailable: Some(IntOrString::Int(unavailable)),
                }),
            }),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

/// A set of `image` with `size` pods asked for and `available` of them up.
fn set(name: &str, image: &str, size: i32, available: i32) -> ReplicaSet {
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            generation: Some(1),
            annotations: Some([(REVISION.to_owned(), "1".to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(size),
            template: Some(template(image)),
            ..ReplicaSetSpec::default()
        }),
        status: Some(ReplicaSetStatus {
            replicas: size,
            available_replicas: Some(available),
            observed_generation: Some(1),
            ..ReplicaSetStatus::default()
        }),
    }
}

/// The world after a step, with no pod any further than before.
fn after(mut deployment: Deployment, mut sets: Sets, step: &Step) -> (Deployment, Sets) {
    match step {
        Step::Create(set) => sets.new = Some(set.as_ref().clone()),
        Step::Update(update) => change(sets.get_mut(&update.name).unwrap(), update),
        Step::Delete(gone) => sets.old.retain(|set| set.metadata.name != gone.metadata.name),
        Step::Annotate(revision) => {
            deployment
                .metadata
                .annotations
                .get_or_insert_default()
                .insert(REVISION.to_owned(), revision.clone());
        }
    }
    (deployment, sets)
}

fn resizes(steps: &[Step]) -> Vec<(String, i32, i32)> {
    let changes = steps.iter().filter_map(|step| match step {
        Step::Create(set) => Some(("new".to_owned(), 0, size(set))),
        Step::Update(update) => update.replicas.map(|(from, to)| (update.name.clone(), from, to)),
        Step::Delete(_) | Step::Annotate(_) => None,
    });
    changes.collect()
}

fn sorted(deployment: &Deployment, sets: Vec<ReplicaSet>) -> Sets {
    Sets::sort(deployment, sets)
}

fn up_to(limit: i32) -> impl Strategy<Value = (i32, i32)> {
    (0..limit).prop_flat_map(|size| (Just(size), 0..=size))
}

prop_compose! {
    fn world()(
        replicas in 0..10,
        surge in 0..4,
        unavailable in 0..4,
        old in proptest::collection::vec(up_to(8), 0..4),
        new in proptest::option::of(up_to(8)),
    ) -> (Deployment, Sets) {
        let deployment = deployment(replicas, surge, unavailable);
        let mut sets: Vec<ReplicaSet> = old
            .iter()
            .enumerate()
            .map(|(n, (size, up))| set(&format!("old-{n}"), &format!("v{n}"), *size, *up))
            .collect();
        sets.extend(new.map(|(size, up)| set("new", "new", size, up)));
        let sets = sorted(&deployment, sets);
        (deployment, sets)
    }
}

proptest! {
    #[test]
    fn an_applied_plan_leaves_nothing_to_plan((deployment, sets) in world()) {
        let steps = plan(&deployment, sets.clone());
        let (deployment, sets) = steps
            .iter()
            .fold((deployment, sets), |(deployment, sets), step| after(deployment, sets, step));
        prop_assert_eq!(plan(&deployment, sets), vec![]);
    }

    #[test]
    fn no_prefix_of_a_plan_has_too_many_pods_or_too_few((deployment, sets) in world()) {
        let budget = Budget::of(&deployment);
        let up = |sets: &Sets| sets.all().map(available).sum::<i32>();
        let most = budget.most().max(sets.total());
        let fewest = budget.fewest().min(up(&sets));
        let mut world = (deployment.clone(), sets.clone());
        for step in plan(&deployment, sets) {
            world = after(world.0, world.1, &step);
            prop_assert!(world.1.total() <= most);
            prop_assert!(up(&world.1) >= fewest);
        }
    }

    #[test]
    fn a_rollout_whose_pods_come_up_ends_with_the_new_template_alone(
        (mut deployment, mut sets) in world()
    ) {
        for _ in 0..200 {
            let steps = plan(&deployment, sets.clone());
            if steps.is_empty() && sets.all().all(|set| available(set) == size(set)) {
                break;
            }
            (deployment, sets) = steps
                .iter()
                .fold((deployment, sets), |(deployment, sets), step| after(deployment, sets, step));
            for set in sets.old.iter_mut().chain(&mut sets.new) {
                let size = size(set);
                let status = set.status.get_or_insert_default();
                status.replicas = size;
                status.available_replicas = Some(size);
            }
        }
        prop_assert_eq!(sets.new.as_ref().map(size), Some(replicas_of(&deployment)));
        prop_assert_eq!(sets.old.iter().map(size).sum::<i32>(), 0);
    }
}

fn replicas_of(deployment: &Deployment) -> i32 {
    super::super::budget::replicas(deployment)
}

#[test]
fn a_first_rollout_creates_all_pods_at_once() {
    let deployment = deployment(3, 1, 0);
    let steps = plan(&deployment, sorted(&deployment, vec![]));
    assert_eq!(resizes(&steps), [("new".to_owned(), 0, 3)]);
    assert!(steps.contains(&Step::Annotate("1".into())));
}

#[test]
fn an_update_begins_with_the_surge_and_waits() {
    let deployment = deployment(3, 1, 0);
    let sets = sorted(&deployment, vec![set("old", "v0", 3, 3)]);
    let steps = plan(&deployment, sets);
    assert_eq!(resizes(&steps), [("new".to_owned(), 0, 1)]);
}

#[test]
fn an_available_new_pod_lets_an_old_one_go() {
    let deployment = deployment(3, 1, 0);
    let sets = sorted(&deployment, vec![set("old", "v0", 3, 3), set("new", "new", 1, 1)]);
    assert_eq!(
        resizes(&plan(&deployment, sets)),
        [("old".to_owned(), 3, 2), ("new".to_owned(), 1, 2)]
    );
}

#[test]
fn undo_gives_the_old_set_the_next_revision() {
    let deployment = deployment(1, 1, 0);
    let mut bad = set("bad", "v9", 1, 0);
    bad.metadata.annotations = Some([(REVISION.to_owned(), "2".to_owned())].into());
    let sets = sorted(&deployment, vec![set("new", "new", 0, 0), bad]);
    let steps = plan(&deployment, sets);
    let renewed = steps.iter().find_map(|step| match step {
        Step::Update(update) => update.annotations.get(REVISION),
        _ => None,
    });
    assert_eq!(renewed.map(String::as_str), Some("3"));
    assert!(steps.contains(&Step::Annotate("3".into())));
}

#[test]
fn a_paused_deployment_rolls_nothing_out_but_scales() {
    let mut paused = deployment(5, 1, 0);
    paused.spec.as_mut().unwrap().paused = Some(true);
    let sets = sorted(&paused, vec![set("old", "v0", 3, 3)]);
    assert_eq!(resizes(&plan(&paused, sets)), [("old".to_owned(), 3, 5)]);
}

#[test]
fn scaling_in_the_middle_of_a_rollout_is_proportional() {
    let deployment = deployment(15, 3, 2);
    let sized = |name: &str, image: &str, count: i32| {
        let mut set = set(name, image, count, count);
        let annotations = set.metadata.annotations.get_or_insert_default();
        annotations.insert(DESIRED.to_owned(), "10".to_owned());
        annotations.insert(MAX.to_owned(), "13".to_owned());
        set
    };
    // The documentation's example: 10 replicas with surge 3 in the middle of an update, scaled to 15.
    let sets = sorted(&deployment, vec![sized("old", "v0", 8), sized("new", "new", 5)]);
    let mut planner = Planner {
        deployment: &deployment,
        budget: Budget::of(&deployment),
        revision: None,
        sets,
        steps: Vec::new(),
    };
    planner.scale();
    assert_eq!(
        resizes(&planner.steps),
        [("old".to_owned(), 8, 11), ("new".to_owned(), 5, 7)]
    );
}

#[test]
fn recreate_waits_until_the_last_old_pod_has_ended() {
    let mut recreate = deployment(2, 0, 0);
    recreate.spec.as_mut().unwrap().strategy = Some(DeploymentStrategy {
        type_: Some("Recreate".into()),
        rolling_update: None,
    });
    let sets = sorted(&recreate, vec![set("old", "v0", 2, 2)]);
    assert_eq!(resizes(&plan(&recreate, sets)), [("old".to_owned(), 2, 0)]);
    let mut ending = set("old", "v0", 0, 0);
    ending.status.as_mut().unwrap().terminating_replicas = Some(1);
    let sets = sorted(&recreate, vec![ending]);
    assert_eq!(resizes(&plan(&recreate, sets)), []);
    let sets = sorted(&recreate, vec![set("old", "v0", 0, 0)]);
    assert_eq!(resizes(&plan(&recreate, sets)), [("new".to_owned(), 0, 2)]);
}

#[test]
fn history_beyond_the_limit_is_removed_once_the_rollout_is_over() {
    let mut done = deployment(1, 1, 0);
    done.spec.as_mut().unwrap().revision_history_limit = Some(1);
    done.status = Some(DeploymentStatus {
        observed_generation: Some(2),
        replicas: Some(1),
        updated_replicas: Some(1),
        available_replicas: Some(1),
        ..DeploymentStatus::default()
    });
    let old = |n: i32| {
        let mut set = set(&format!("old-{n}"), &format!("v{n}"), 0, 0);
        set.metadata.annotations = Some([(REVISION.to_owned(), n.to_string())].into());
        set
    };
    let sets = sorted(&done, vec![old(2), old(1), old(3), set("new", "new", 1, 1)]);
    let steps = plan(&done, sets);
    let gone: Vec<&str> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Delete(set) => set.metadata.name.as_deref(),
            _ => None,
        })
        .collect();
    assert_eq!(gone, ["old-1", "old-2"]);
}
