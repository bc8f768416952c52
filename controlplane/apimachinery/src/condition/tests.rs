use proptest::prelude::*;

use super::*;

const THEN: Timestamp = Timestamp::constant(1_000, 0);
const NOW: Timestamp = Timestamp::constant(2_000, 500);

fn ready(status: &str, reason: &str) -> Value {
    json!({"type": "Ready", "status": status, "reason": reason, "observedGeneration": 3})
}

#[test]
fn the_time_moves_only_with_the_status() {
    let mut list = Vec::new();
    set(&mut list, ready("True", "A"), THEN);
    set(&mut list, ready("True", "B"), NOW);
    assert_eq!(list[0]["lastTransitionTime"], "1970-01-01T00:16:40Z");
    assert_eq!(list[0]["reason"], "B");
    set(&mut list, ready("False", "B"), NOW);
    assert_eq!(list[0]["lastTransitionTime"], "1970-01-01T00:33:20Z");
    assert_eq!(list.len(), 1);
}

#[test]
fn a_condition_is_found_removed_and_true_by_its_type() {
    let mut list = vec![ready("True", "A"), json!({"type": "Other", "status": "False"})];
    assert!(is_true(&list, "Ready") && !is_true(&list, "Other") && !is_true(&list, "None"));
    remove(&mut list, "Ready");
    assert!(find(&list, "Ready").is_none() && find(&list, "Other").is_some());
}

#[test]
fn an_object_without_conditions_gets_a_list_of_them() {
    for mut object in [
        json!({}),
        json!({"status": null}),
        json!({"status": {"conditions": "x"}}),
    ] {
        set(of_mut(&mut object).unwrap(), ready("True", "A"), THEN);
        assert_eq!(object["status"]["conditions"][0]["type"], "Ready");
    }
}

fn conditions() -> impl Strategy<Value = Vec<Value>> {
    let one = |kind: char, (status, own): (u8, u8)| {
        let status = ["True", "False", "Unknown"][usize::from(status)];
        json!({"type": kind.to_string(), "status": status, "own": own, "lastTransitionTime": "1970-01-01T00:00:01Z"})
    };
    proptest::collection::btree_map(
        proptest::sample::select(vec!['a', 'b', 'c', 'd']),
        (0..3_u8, any::<u8>()),
        0..4,
    )
    .prop_map(move |map| map.into_iter().map(|(kind, rest)| one(kind, rest)).collect())
}

proptest! {
    #[test]
    fn a_condition_that_the_writer_does_not_know_survives_unchanged(before in conditions(), wanted in conditions()) {
        let after = merged(wanted.clone(), &before, NOW);
        for old in before.iter().filter(|old| find(&wanted, old.kind()).is_none()) {
            prop_assert_eq!(find(&after, old.kind()), Some(old));
        }
        let mut kinds: Vec<&str> = after.iter().map(Condition::kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        prop_assert_eq!(kinds.len(), after.len());
    }

    #[test]
    fn what_is_merged_again_later_is_the_same(before in conditions(), wanted in conditions()) {
        let once = merged(wanted.clone(), &before, THEN);
        prop_assert_eq!(merged(wanted, &once, NOW), once);
    }

    #[test]
    fn setting_one_by_one_says_what_merging_says(before in conditions(), wanted in conditions()) {
        let mut list = before.clone();
        for one in wanted.clone() {
            set(&mut list, one, NOW);
        }
        let by_kind = |mut list: Vec<Value>| {
            list.sort_by_key(|one| one.kind().to_owned());
            list
        };
        prop_assert_eq!(by_kind(list), by_kind(merged(wanted, &before, NOW)));
    }
}
