use k8s_openapi::api::apps::v1::{DeploymentSpec, ReplicaSet, ReplicaSetSpec};
use kube::api::ObjectMeta;

use super::*;

const THEN: Timestamp = Timestamp::constant(1_000, 0);
const NOW: Timestamp = Timestamp::constant(2_000, 0);

fn deployment(replicas: i32) -> Deployment {
    Deployment {
        metadata: ObjectMeta {
            name: Some("web".into()),
            generation: Some(3),
            ..ObjectMeta::default()
        },
        spec: Some(DeploymentSpec {
            replicas: Some(replicas),
            progress_deadline_seconds: Some(600),
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn sets(size: i32, available: i32) -> Sets {
    Sets {
        old: vec![],
        new: Some(ReplicaSet {
            metadata: ObjectMeta {
                name: Some("web-1".into()),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(size),
                ..ReplicaSetSpec::default()
            }),
            status: Some(ReplicaSetStatus {
                replicas: size,
                ready_replicas: Some(available),
                available_replicas: Some(available),
                ..ReplicaSetStatus::default()
            }),
        }),
    }
}

fn progressing(status: &DeploymentStatus) -> &DeploymentCondition {
    let conditions = status.conditions.as_deref().unwrap();
    conditions
        .iter()
        .find(|condition| condition.type_ == PROGRESSING)
        .unwrap()
}

fn next(deployment: &mut Deployment, sets: &Sets, news: &News, now: Timestamp) -> (String, String) {
    let status = status(deployment, sets, news, now);
    let condition = progressing(&status).clone();
    deployment.status = Some(status);
    (condition.status, condition.reason.unwrap())
}

#[test]
fn a_rollout_tells_its_story_in_upstreams_reasons() {
    let mut web = deployment(2);
    let none = Sets {
        new: None,
        old: vec![],
    };
    let mut told = vec![next(&mut web, &none, &News::Created("web-1".into()), THEN)];
    told.push(next(&mut web, &sets(2, 0), &News::None, THEN));
    told.push(next(&mut web, &sets(2, 1), &News::None, THEN));
    told.push(next(&mut web, &sets(2, 2), &News::None, NOW));
    let told: Vec<(&str, &str)> = told.iter().map(|(s, r)| (s.as_str(), r.as_str())).collect();
    assert_eq!(
        told,
        [
            ("True", "NewReplicaSetCreated"),
            ("True", "ReplicaSetUpdated"),
            ("True", "ReplicaSetUpdated"),
            ("True", "NewReplicaSetAvailable"),
        ]
    );
    let status = web.status.unwrap();
    assert_eq!(
        progressing(&status).message.as_deref(),
        Some("ReplicaSet \"web-1\" has successfully progressed.")
    );
    assert_eq!(progressing(&status).last_transition_time, Some(Time(THEN)));
    assert_eq!(progressing(&status).last_update_time, Some(Time(NOW)));
}

#[test]
fn a_rollout_that_stands_still_exceeds_its_deadline() {
    let mut web = deployment(2);
    next(&mut web, &sets(2, 1), &News::None, THEN);
    let status = web.status.clone().unwrap();
    assert_eq!(
        until_deadline(&web, &status, THEN),
        Some(SignedDuration::from_secs(600))
    );
    assert_eq!(
        next(&mut web, &sets(2, 1), &News::None, NOW),
        ("False".to_owned(), "ProgressDeadlineExceeded".to_owned())
    );
    assert_eq!(until_deadline(&web, &web.status.clone().unwrap(), NOW), None);
}

#[test]
fn availability_follows_the_budget() {
    let web = deployment(4);
    let available = |up: i32| {
        let status = status(&web, &sets(4, up), &News::None, NOW);
        let found = status.conditions.unwrap();
        let condition = found.iter().find(|c| c.type_ == AVAILABLE).unwrap().clone();
        condition.status
    };
    assert_eq!(available(3), "True");
    assert_eq!(available(2), "False");
}

#[test]
fn an_unchanged_rollout_has_an_unchanged_status() {
    let mut web = deployment(2);
    next(&mut web, &sets(2, 2), &News::None, THEN);
    let again = status(&web, &sets(2, 2), &News::None, NOW);
    assert!(same(web.status.as_ref(), &again));
}

#[test]
fn conditions_of_others_survive() {
    let mut web = deployment(1);
    web.status = Some(DeploymentStatus {
        conditions: Some(vec![DeploymentCondition {
            type_: "example.com/Checked".into(),
            status: "True".into(),
            ..DeploymentCondition::default()
        }]),
        ..DeploymentStatus::default()
    });
    let conditions = status(&web, &sets(1, 1), &News::None, NOW).conditions.unwrap();
    assert!(conditions.iter().any(|c| c.type_ == "example.com/Checked"));
}

#[test]
fn pausing_and_resuming_show() {
    let mut web = deployment(1);
    web.spec.as_mut().unwrap().paused = Some(true);
    let (_, reason) = next(&mut web, &sets(1, 0), &News::None, THEN);
    assert_eq!(reason, "DeploymentPaused");
    web.spec.as_mut().unwrap().paused = None;
    let (_, reason) = next(&mut web, &sets(1, 0), &News::None, THEN);
    assert_eq!(reason, "DeploymentResumed");
    let (_, reason) = next(&mut web, &sets(1, 1), &News::None, NOW);
    assert_eq!(reason, "NewReplicaSetAvailable");
}
