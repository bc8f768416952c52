use proptest::prelude::*;
use serde_json::json;

use super::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn each_form_of_condition_selects_what_it_says() {
    let web = labels(&[("app", "web"), ("tier", "front"), ("n", "5"), ("empty", "")]);
    for (text, expected) in [
        ("", true),
        ("app=web", true),
        ("app==web", true),
        ("app = web , tier=front", true),
        ("app=db", false),
        ("app!=db", true),
        ("missing!=x", true),
        ("app", true),
        ("!app", false),
        ("!missing", true),
        ("! missing", true),
        ("app in (web, db)", true),
        ("app in (db)", false),
        ("app notin (db)", true),
        ("missing notin (db)", true),
        ("missing in (db)", false),
        ("n>4", true),
        ("n>5", false),
        ("n<6,app", true),
        ("app>1", false),
        ("empty=", true),
        ("empty in (,x)", true),
        ("example.com/app=web", false),
    ] {
        let selector = LabelSelector::parse(text).unwrap();
        assert_eq!(selector.matches(&web), expected, "{text}");
        assert_eq!(
            selector.matches_object(&json!({"metadata": {"labels": web}})),
            expected,
            "{text}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_the_place() {
    for (text, message) in [
        (
            "a=b c",
            "unable to parse requirement: found 'c', expected: ',' or 'end of string'",
        ),
        (
            ",a",
            "unable to parse requirement: found ',', expected: !, identifier, or end of string",
        ),
        ("a in b", "unable to parse requirement: found 'b', expected: ("),
        (
            "a in (b",
            "unable to parse requirement: found '', expected: ',', or ')'",
        ),
        (
            "a ! b",
            "unable to parse requirement: found '!', expected: in, notin, =, ==, !=, gt, lt",
        ),
        (
            "n>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value \
             must be an integer",
        ),
    ] {
        assert_eq!(
            LabelSelector::parse(text).unwrap_err().to_string(),
            message,
            "{text}"
        );
    }
    assert!(
        LabelSelector::parse("a/b/c=d")
            .unwrap_err()
            .to_string()
            .contains("key: Invalid value: \"a/b/c\"")
    );
}

#[test]
fn api_selectors_select_like_their_text() {
    let selector = LabelSelector::from_json(&json!({
        "matchLabels": {"app": "web"},
        "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["b", "a", "b"]}],
    }))
    .unwrap();
    assert_eq!(selector.to_string(), "app=web,tier notin (a,b)");
    assert!(
        !LabelSelector::from_json(&json!(null))
            .unwrap()
            .matches(&labels(&[]))
    );
    assert!(
        LabelSelector::from_json(&json!({}))
            .unwrap()
            .matches(&labels(&[]))
    );
    let bad = LabelSelector::from_json(&json!({"matchExpressions": [{"key": "a", "operator": "Has"}]}));
    assert_eq!(
        bad.unwrap_err().to_string(),
        "unable to parse requirement: operator: Invalid value: \"Has\": not a valid selector operator"
    );
}

fn requirement() -> impl Strategy<Value = Requirement> {
    let key = "([a-z]{1,5}\\.[a-z]{2}/)?[A-Za-z][A-Za-z0-9_.-]{0,6}[a-z]";
    let value = "([A-Za-z0-9]([A-Za-z0-9_.-]{0,5}[A-Za-z0-9])?)?";
    let values = prop::collection::vec(value, 1..4);
    let kind = prop_oneof![Just(Operator::In), Just(Operator::NotIn)];
    prop_oneof![
        (key, kind, values)
            .prop_map(|(key, operator, values)| Requirement::new(&key, operator, values).unwrap()),
        key.prop_map(|key| Requirement::new(&key, Operator::Exists, Vec::new()).unwrap()),
        key.prop_map(|key| Requirement::new(&key, Operator::DoesNotExist, Vec::new()).unwrap()),
        (key, any::<i64>())
            .prop_filter("a label value is no negative number", |(_, bound)| *bound >= 0)
            .prop_map(
                |(key, bound)| Requirement::new(&key, Operator::LessThan, vec![bound.to_string()]).unwrap()
            ),
    ]
}

proptest! {
    #[test]
    fn a_printed_selector_reads_back_as_itself(requirements in prop::collection::vec(requirement(), 0..5)) {
        let selector = LabelSelector::from_requirements(requirements);
        prop_assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,40}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector);
        }
    }
}
