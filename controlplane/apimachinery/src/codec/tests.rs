use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn duplicates_are_named_by_path_and_the_last_one_counts() {
    let text = br#"{"a":1,"spec":{"list":[{"x":1,"x":2}]},"a":3}"#;
    let document = from_json(text).unwrap();
    assert_eq!(document.value, json!({"a": 3, "spec": {"list": [{"x": 2}]}}));
    assert_eq!(
        strict_errors(&document.duplicates),
        ["duplicate field \"spec.list[0].x\"", "duplicate field \"a\""]
    );
    let applied = from_yaml_or_json(text).unwrap();
    assert_eq!(applied.value, document.value);
    assert_eq!(
        strict_errors(&applied.duplicates),
        [
            "yaml: unmarshal errors:\n  line 1: key \"x\" already set in map\n  line 1: key \"a\" already set in map"
        ]
    );
}

#[test]
fn no_more_than_a_hundred_duplicates_are_listed() {
    let text = format!("{{{}}}", vec!["\"a\":1"; 1000].join(","));
    assert_eq!(from_json(text.as_bytes()).unwrap().duplicates.len(), 100);
}

#[test]
fn a_syntax_error_tells_its_position() {
    let error = from_json(b"{\"a\":\n nope}").unwrap_err().to_string();
    assert!(error.ends_with("line 2 column 3"), "{error}");
    assert_eq!(
        from_json(b"{\"a\":").unwrap_err().to_string(),
        "json parse error: unexpected end of JSON input"
    );
}

#[test]
fn nesting_beyond_the_limit_is_an_error_and_no_stack_overflow() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(from_json(deep.as_bytes()).is_err());
    assert!(from_yaml(deep.as_bytes()).is_err());
    let nested: String = (0..2000)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect();
    assert!(from_yaml(nested.as_bytes()).is_err());
}

#[test]
fn trailing_text_is_an_error() {
    assert!(from_json(b"{} {}").is_err());
    assert!(from_yaml(b"a: 1\n---\nb: 1\n").is_err());
}

#[test]
fn names_that_look_like_numbers_are_names() {
    let read = from_yaml(b"1: a\ntrue: b\n1.5: c\n-2: d\n").unwrap().value;
    assert_eq!(read, json!({"1": "a", "true": "b", "1.5": "c", "-2": "d"}));
}

#[test]
fn a_brace_begins_json_or_yaml_in_flow_style() {
    for text in ["{\"a\": [1]}", "  {a: [1]}", "a:\n- 1\n"] {
        assert_eq!(
            from_yaml_or_json(text.as_bytes()).unwrap().value,
            json!({"a": [1]}),
            "{text}"
        );
    }
    assert!(from_yaml_or_json(b"{a").is_err());
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", vec![before; 9].join(",")));
    }
    assert!(from_yaml(text.as_bytes()).is_err());
}

#[test]
fn a_long_text_repeated_by_aliases_is_refused_before_it_fills_the_memory() {
    let text = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(1 << 20),
        vec!["*a"; 100_000].join(",")
    );
    assert!(from_yaml(text.as_bytes()).unwrap_err().is_too_large());
}

#[test]
fn small_objects_in_great_number_are_refused_before_they_fill_the_memory() {
    let text = format!("[{}]", vec!["{\"a\":0}"; 390_000].join(","));
    assert!(text.len() < 3 << 20 && from_json(text.as_bytes()).unwrap_err().is_too_large());
    // What an object may hold at most is read, whatever its form.
    let text = format!("[{}]", vec!["{\"type\":\"string\"}"; 80_000].join(","));
    assert!(from_json(text.as_bytes()).is_ok());
}

proptest! {
    #[test]
    fn a_float_is_read_as_the_nearest_there_is(float in any::<f64>().prop_filter("JSON has it", |float| float.is_finite())) {
        let text = format!("{float:e}");
        let read = from_json(text.as_bytes()).unwrap().value;
        prop_assert_eq!(read.as_f64(), Some(float));
        let again = from_json(read.to_string().as_bytes()).unwrap().value;
        prop_assert_eq!(again, read);
    }
}

#[test]
fn numbers_are_kept_or_refused_and_never_turned_into_others() {
    let kept = |text: &str| from_json(text.as_bytes()).unwrap().value.to_string();
    for same in [
        "0.30000000000000004",
        "18446744073709551615",
        "-9223372036854775808",
        "5e-324",
        "0",
        "1.5",
    ] {
        assert_eq!(kept(same), same);
    }
    assert_eq!(kept("-0"), "0");
    assert_eq!(kept("2.2250738585072011e-308"), "2.225073858507201e-308");
    // What no integer holds is a float, as in Go.
    assert_eq!(kept("18446744073709551616"), "1.8446744073709552e+19");
    let error = from_json(b"1e400").unwrap_err().to_string();
    assert!(error.contains("number out of range"), "{error}");
}
