//! What every [`Ruleset`] must do. The in-memory one runs it as a unit test, the kernel's in a
//! network namespace of its own.

#![expect(
    clippy::expect_used,
    reason = "a suite of assertions, compiled for tests alone"
)]

use std::collections::BTreeSet;

use crate::{
    ChainSpec, Change, Element, ElementKey, Field, FieldKind, Filled, Hook, Protocol, Ruleset, SetSpec,
    Structure, Tuple, Value, ValueKind, Verdict, comment,
};

/// Runs the whole suite on a table that is empty.
///
/// # Panics
///
/// Where a claim does not hold.
pub fn run(rules: &mut impl Ruleset) {
    nothing_loaded_holds_and_an_absent_set_is_empty(rules);
    a_loaded_structure_holds_and_loading_it_again_keeps_elements(rules);
    every_kind_of_element_is_read_back_as_it_was_added(rules);
    a_transaction_that_fails_changes_nothing(rules);
    a_value_is_replaced_within_one_transaction(rules);
    a_chain_is_unloaded_when_nothing_leads_to_it(rules);
    forgetting_what_is_gone_is_harmless(rules);
    a_large_transaction_is_one(rules);
    a_set_of_another_type_is_refused_until_all_is_replaced(rules);
}

fn structure() -> Structure {
    use FieldKind::{Addr4, Addr6, Port, Protocol};
    let set = |key: &[FieldKind], value| SetSpec {
        key: key.to_vec(),
        value,
        filled: Filled::ByChanges,
    };
    let mut structure = Structure::default();
    let sets = [
        ("plain", set(&[Addr4], ValueKind::Nothing)),
        ("verdicts4", set(&[Addr4, Protocol, Port], ValueKind::Verdict)),
        ("verdicts6", set(&[Addr6, Protocol, Port], ValueKind::Verdict)),
        (
            "data4",
            set(&[Protocol, Port], ValueKind::Tuple(vec![Addr4, Port])),
        ),
    ];
    structure.sets.extend(sets.map(|(name, set)| (name.into(), set)));
    let hook = Hook {
        kind: "nat",
        hook: "prerouting",
        priority: -100,
    };
    let chains = [
        (
            "enter",
            Some(hook),
            "ip daddr . meta l4proto . th dport vmap @verdicts4",
        ),
        ("leave", None, "meta l4proto tcp drop comment \"why\""),
    ];
    structure.chains.extend(chains.map(|(name, hook, rule)| {
        let rules = vec![rule.to_owned()];
        (name.into(), ChainSpec { hook, rules })
    }));
    structure
}

fn element(set: &str, key: Vec<Field>, value: Value, text: &str) -> Element {
    Element {
        key: ElementKey {
            set: set.into(),
            key: Tuple(key),
        },
        value,
        comment: comment(text),
    }
}

fn addr(text: &str) -> Field {
    Field::Addr(text.parse().expect("an address"))
}

fn samples() -> Vec<Element> {
    let (tcp, udp) = (Field::Protocol(Protocol::Tcp), Field::Protocol(Protocol::Udp));
    let leave = || Value::Verdict(Verdict::Goto("leave".into()));
    let data = |host, port| Value::Tuple(Tuple(vec![addr(host), Field::Port(port)]));
    vec![
        element("plain", vec![addr("10.43.0.1")], Value::Nothing, ""),
        element(
            "verdicts4",
            vec![addr("10.43.0.1"), tcp, Field::Port(443)],
            leave(),
            "default/kubernetes:https",
        ),
        element(
            "verdicts4",
            vec![addr("10.43.0.1"), udp, Field::Port(53)],
            Value::Verdict(Verdict::Drop),
            "ä",
        ),
        element(
            "verdicts6",
            vec![addr("fd43::1"), tcp, Field::Port(80)],
            leave(),
            &"x".repeat(200),
        ),
        element(
            "data4",
            vec![udp, Field::Port(30053)],
            data("10.42.0.9", 5353),
            "",
        ),
        element(
            "data4",
            vec![tcp, Field::Port(30080)],
            data("10.42.0.9", 8080),
            "default/web",
        ),
    ]
}

fn listed(rules: &mut impl Ruleset) -> BTreeSet<Element> {
    let mut found = BTreeSet::new();
    for (name, spec) in &structure().sets {
        found.extend(rules.elements(name, spec).expect("a listing"));
    }
    found
}

fn nothing_loaded_holds_and_an_absent_set_is_empty(rules: &mut impl Ruleset) {
    assert!(rules.holds().expect("a listing"));
    assert_eq!(listed(rules), BTreeSet::new());
}

fn a_loaded_structure_holds_and_loading_it_again_keeps_elements(rules: &mut impl Ruleset) {
    rules.load(&structure()).expect("load");
    assert!(rules.holds().expect("a listing"));
    let sample = samples().swap_remove(1);
    rules.change(&[Change::Add(sample.clone())]).expect("add");
    rules.load(&structure()).expect("load again");
    assert!(rules.holds().expect("a listing"));
    assert_eq!(listed(rules), BTreeSet::from([sample.clone()]));
    rules.change(&[Change::Remove(sample.key)]).expect("remove");
}

fn every_kind_of_element_is_read_back_as_it_was_added(rules: &mut impl Ruleset) {
    let samples = samples();
    let adds: Vec<Change> = samples.iter().cloned().map(Change::Add).collect();
    rules.change(&adds).expect("add");
    assert_eq!(listed(rules), samples.into_iter().collect());
    rules.change(&adds).expect("adding the same again is harmless");
}

fn a_transaction_that_fails_changes_nothing(rules: &mut impl Ruleset) {
    let before = listed(rules);
    let tcp = Field::Protocol(Protocol::Tcp);
    let fresh = |set, value| element(set, vec![addr("10.43.0.7"), tcp, Field::Port(1)], value, "");
    let good = || Change::Add(element("plain", vec![addr("10.43.0.7")], Value::Nothing, ""));
    let bad = [
        Change::Remove(fresh("verdicts4", Value::Nothing).key),
        Change::Add(fresh(
            "verdicts4",
            Value::Verdict(Verdict::Goto("nowhere".into())),
        )),
        Change::Add(fresh("absent", Value::Verdict(Verdict::Drop))),
    ];
    for bad in bad {
        let failed = rules.change(&[good(), bad.clone()]);
        assert!(failed.is_err(), "{bad}");
        assert_eq!(listed(rules), before, "{bad}");
    }
    let mut other = samples().swap_remove(1);
    other.value = Value::Verdict(Verdict::Drop);
    rules
        .change(&[good(), Change::Add(other)])
        .expect_err("a key has one value");
    assert_eq!(listed(rules), before);
}

fn a_value_is_replaced_within_one_transaction(rules: &mut impl Ruleset) {
    let old = samples().swap_remove(1);
    let mut new = old.clone();
    new.value = Value::Verdict(Verdict::Drop);
    rules
        .change(&[Change::Remove(old.key.clone()), Change::Add(new.clone())])
        .expect("replace");
    assert!(listed(rules).contains(&new));
    rules
        .change(&[Change::Remove(new.key), Change::Add(old)])
        .expect("put back");
    assert_eq!(listed(rules), samples().into_iter().collect());
}

fn a_chain_is_unloaded_when_nothing_leads_to_it(rules: &mut impl Ruleset) {
    rules.unload(&["leave".into()]).expect_err("elements lead to it");
    assert!(rules.holds().expect("a listing"));
    let mut more = Structure::default();
    let chain = structure().chains.remove("leave").expect("a chain");
    more.chains.insert("idle".into(), chain);
    rules.load(&more).expect("load");
    rules.unload(&["idle".into()]).expect("unload");
    assert!(rules.holds().expect("a listing"));
}

fn forgetting_what_is_gone_is_harmless(rules: &mut impl Ruleset) {
    let keys: Vec<ElementKey> = samples().into_iter().map(|element| element.key).collect();
    rules.forget(&keys).expect("forget");
    assert_eq!(listed(rules), BTreeSet::new());
    rules.forget(&keys).expect("forget again");
}

/// How often, and how far apart, a large set is listed until it is whole.
const PATIENCE: usize = 50;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

fn a_large_transaction_is_one(rules: &mut impl Ruleset) {
    let many: Vec<Element> = (0..20_000_u32)
        .map(|n| {
            let host = Field::Addr(std::net::Ipv4Addr::from(0x0a2b_0000 + n).into());
            element("plain", vec![host], Value::Nothing, "one of many")
        })
        .collect();
    let adds: Vec<Change> = many.iter().cloned().map(Change::Add).collect();
    rules.change(&adds).expect("add many");
    let many: BTreeSet<Element> = many.into_iter().collect();
    // The kernel's table grows behind the transaction, and a listing meanwhile may miss elements.
    let settled = (0..PATIENCE).any(|_| {
        let found = listed(rules) == many;
        if !found {
            std::thread::sleep(PAUSE);
        }
        found
    });
    assert!(settled, "an element is missing or strange");
}

fn a_set_of_another_type_is_refused_until_all_is_replaced(rules: &mut impl Ruleset) {
    let mut other = structure();
    let set = other.sets.get_mut("plain").expect("a set");
    set.key = vec![FieldKind::Port];
    let before = listed(rules);
    rules.load(&other).expect_err("a set of another type");
    assert_eq!(listed(rules), before);
    rules.replace(&other).expect("replace");
    assert_eq!(listed(rules), BTreeSet::new());
    assert!(rules.holds().expect("a listing"));
    rules.replace(&Structure::default()).expect("replace by nothing");
    assert!(rules.holds().expect("a listing"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ruleset_in_memory_keeps_the_contract() {
        run(&mut crate::MemoryRuleset::default());
    }
}
