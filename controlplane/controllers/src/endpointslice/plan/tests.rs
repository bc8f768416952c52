use k8s_openapi::api::core::v1::ObjectReference;
use proptest::prelude::*;

use super::*;

fn frame() -> Frame {
    Frame {
        namespace: "default".into(),
        name: "web".into(),
        owner: OwnerReference {
            uid: "s".into(),
            controller: Some(true),
            ..OwnerReference::default()
        },
        labels: [("app".to_owned(), "web".to_owned())].into(),
        annotations: None,
        placeholders: vec!["IPv4".into()],
    }
}

fn endpoint(number: usize, state: &str) -> Endpoint {
    Endpoint {
        addresses: vec![format!("10.42.{}.{}", number / 250, number % 250)],
        zone: Some(state.to_owned()),
        target_ref: Some(ObjectReference {
            name: Some(format!("pod-{number}")),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    }
}

fn group(port: i32, endpoints: Vec<Endpoint>) -> Group {
    let port = Port {
        name: Some("http".into()),
        protocol: Some("TCP".into()),
        number: Some(port),
        app_protocol: None,
    };
    Group {
        family: "IPv4".into(),
        ports: [port].into(),
        endpoints,
    }
}

/// Performs steps on slices in memory.
fn perform(slices: &mut Vec<Arc<EndpointSlice>>, steps: Vec<Step>, counter: &mut u32) {
    for step in steps {
        match step {
            Step::Create(mut slice) => {
                *counter += 1;
                slice.metadata.name = Some(format!("web-{counter}"));
                slices.push(Arc::new(slice));
            }
            Step::Update(slice) => {
                let old = slices
                    .iter_mut()
                    .find(|old| old.metadata.name == slice.metadata.name);
                *old.unwrap() = Arc::new(slice);
            }
            Step::Delete(slice) => slices.retain(|old| old.metadata.name != slice.metadata.name),
        }
    }
}

fn made(groups: Vec<Group>) -> Vec<Arc<EndpointSlice>> {
    let mut slices = Vec::new();
    perform(&mut slices, plan(&frame(), groups, &[]), &mut 0);
    slices
}

fn sizes(slices: &[Arc<EndpointSlice>]) -> Vec<usize> {
    slices
        .iter()
        .map(|slice| slice.endpoints.as_ref().unwrap().len())
        .collect()
}

fn many(count: usize) -> Vec<Endpoint> {
    (0..count).map(|number| endpoint(number, "")).collect()
}

#[test]
fn two_hundred_and_fifty_endpoints_fill_three_slices() {
    assert_eq!(sizes(&made(vec![group(80, many(250))])), [100, 100, 50]);
}

#[test]
fn one_changed_pod_rewrites_one_slice() {
    let slices = made(vec![group(80, many(250))]);
    let mut changed = many(250);
    changed[120] = endpoint(120, "changed");
    let steps = plan(&frame(), vec![group(80, changed)], &slices);
    assert!(matches!(&steps[..], [Step::Update(_)]), "{steps:?}");
}

#[test]
fn a_new_pod_goes_where_it_fills_best() {
    let slices = made(vec![group(80, many(250))]);
    let steps = plan(&frame(), vec![group(80, many(251))], &slices);
    let [Step::Update(slice)] = &steps[..] else {
        panic!("{steps:?}");
    };
    assert_eq!(slice.endpoints.as_ref().unwrap().len(), 51);
}

#[test]
fn a_replaced_pod_takes_the_place_that_came_free() {
    let slices = made(vec![group(80, many(250))]);
    let mut replaced = many(250);
    replaced[0] = endpoint(999, "");
    let steps = plan(&frame(), vec![group(80, replaced)], &slices);
    assert!(matches!(&steps[..], [Step::Update(_)]), "{steps:?}");
}

#[test]
fn without_pods_an_empty_slice_says_so_and_is_written_over_later() {
    let mut slices = made(Vec::new());
    assert_eq!(sizes(&slices), [0]);
    assert_eq!(plan(&frame(), Vec::new(), &slices), []);
    let steps = plan(&frame(), vec![group(80, many(1))], &slices);
    assert!(matches!(&steps[..], [Step::Update(_)]), "{steps:?}");
    perform(&mut slices, steps, &mut 9);
    let steps = plan(&frame(), Vec::new(), &slices);
    assert!(matches!(&steps[..], [Step::Update(_)]), "{steps:?}");
}

#[test]
fn pods_with_other_numbers_lie_in_slices_of_their_own() {
    let slices = made(vec![
        group(80, vec![endpoint(1, "")]),
        group(81, vec![endpoint(2, "")]),
    ]);
    assert_eq!(sizes(&slices), [1, 1]);
}

#[test]
fn changed_labels_are_written_to_every_slice() {
    let slices = made(vec![group(80, many(150))]);
    let mut relabelled = frame();
    relabelled.labels.insert("tier".into(), "front".into());
    let steps = plan(&relabelled, vec![group(80, many(150))], &slices);
    assert!(
        matches!(&steps[..], [Step::Update(_), Step::Update(_)]),
        "{steps:?}"
    );
}

#[test]
fn slices_of_a_gone_service_of_the_same_name_are_left_to_the_collector() {
    let slices = made(vec![group(80, many(1))]);
    let mut successor = frame();
    successor.owner.uid = "other".into();
    let steps = plan(&successor, vec![group(80, many(1))], &slices);
    assert!(matches!(&steps[..], [Step::Create(_)]), "{steps:?}");
}

#[test]
fn an_address_type_that_the_service_lost_goes() {
    let slices = made(vec![group(80, many(1))]);
    let mut six = frame();
    six.placeholders = vec!["IPv6".into()];
    let steps = plan(&six, Vec::new(), &slices);
    assert!(
        matches!(&steps[..], [Step::Create(_), Step::Delete(_)]),
        "{steps:?}"
    );
}

/// Wishes one after another: which pods there are, on which port, in which state.
fn wishes() -> impl Strategy<Value = Vec<Vec<(usize, u8, u8)>>> {
    let pods = proptest::collection::btree_map(0..400_usize, (0..2_u8, 0..2_u8), 0..350);
    let wish = pods.prop_map(|pods| {
        pods.into_iter()
            .map(|(pod, (port, state))| (pod, port, state))
            .collect()
    });
    proptest::collection::vec(wish, 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn slices_hold_what_is_wanted_and_an_applied_plan_leaves_nothing_to_plan(wishes in wishes()) {
        let mut slices = Vec::new();
        let mut counter = 0;
        for wish in wishes {
            let groups: Vec<Group> = (0..2_u8)
                .map(|port| {
                    let mine = wish.iter().filter(|(_, wanted, _)| *wanted == port);
                    let endpoints = mine.map(|(pod, _, state)| endpoint(*pod, &state.to_string()));
                    group(80 + i32::from(port), endpoints.collect())
                })
                .collect();
            let steps = plan(&frame(), groups.clone(), &slices);
            perform(&mut slices, steps, &mut counter);
            prop_assert_eq!(plan(&frame(), groups.clone(), &slices), Vec::new());
            for group in groups {
                let mine = slices.iter().filter(|slice| ports(slice) == group.ports);
                let held: Vec<Endpoint> = mine
                    .flat_map(|slice| slice.endpoints.clone().unwrap_or_default())
                    .collect();
                prop_assert!(crate::endpointslice::pack::same(&held, &group.endpoints));
            }
            prop_assert!(sizes(&slices).into_iter().all(|size| size <= CAPACITY));
        }
    }
}
