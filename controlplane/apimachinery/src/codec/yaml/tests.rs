use proptest::prelude::*;
use serde_json::json;

use crate::codec::{documents_from_yaml, from_yaml, strict_errors, to_yaml};
use serde_json::Value;

fn value(text: &str) -> Value {
    from_yaml(text.as_bytes()).unwrap().value
}

fn mistake(text: &str) -> String {
    from_yaml(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn plain_scalars_mean_what_they_mean_to_kubectl() {
    let table = [
        ("0644", json!(420)),
        ("0o644", json!(420)),
        ("0x1F", json!(31)),
        ("0b101", json!(5)),
        ("-0b101", json!(-5)),
        ("+12", json!(12)),
        ("1_000", json!(1000)),
        ("08", json!(8)),
        ("1.0", json!(1)),
        ("1e2", json!(100)),
        (".5", json!(0.5)),
        ("-0", json!(0)),
        ("0.1", json!(0.1)),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
        ("yes", json!(true)),
        ("Off", json!(false)),
        ("y", json!(true)),
        ("~", json!(null)),
        ("", json!(null)),
        ("2001-01-01", json!("2001-01-01")),
        ("1:30", json!("1:30")),
        ("10.0.0.1", json!("10.0.0.1")),
        ("-c", json!("-c")),
        ("1e400x", json!("1e400x")),
        ("infinity", json!("infinity")),
        ("\"0644\"", json!("0644")),
        ("'yes'", json!("yes")),
        ("!!str 12", json!("12")),
        ("!!int \"12\"", json!(12)),
        ("!!float 1", json!(1)),
        ("!custom 12", json!("12")),
        ("|\n  yes\n", json!("yes\n")),
    ];
    for (text, meant) in table {
        assert_eq!(value(text), meant, "{text}");
        assert_eq!(value(&format!("a: {text}")), json!({"a": meant}), "{text}");
    }
    assert_eq!(
        mistake("a: .nan"),
        "yaml: line 1: .nan is no number that JSON has"
    );
    assert_eq!(
        mistake("a: !!int x"),
        "yaml: line 1: cannot decode `x` as a !!int"
    );
}

#[test]
fn members_that_come_twice_are_told_by_the_line_of_their_values() {
    let text = "a: 1\nspec:\n  list:\n  - {x: 1, x: 2}\n  - k: 1\n    k:\n      - z\ntrue: 1\na: 3\ntrue: 2\nb: 1\nb:\n";
    let document = from_yaml(text.as_bytes()).unwrap();
    assert_eq!(document.value["a"], 3);
    assert_eq!(
        strict_errors(&document.duplicates),
        [
            "yaml: unmarshal errors:\n  line 4: key \"x\" already set in map\n  line 7: key \"k\" already set in map\n  \
             line 9: key \"a\" already set in map\n  line 10: key true already set in map\n  line 12: key \"b\" already set in map"
        ]
    );
    let many = "a: 1\n".repeat(1000);
    assert_eq!(from_yaml(many.as_bytes()).unwrap().duplicates.len(), 100);
}

#[test]
fn maps_are_merged_where_they_stand_as_kubectl_does() {
    let text = "base: &b {x: 1, k: 2}\nmore: &m {k: 3, z: 4}\nafter: {k: 9, <<: *b}\nbefore: {<<: *b, k: 9}\nboth:\n  \
                <<: [*b, *m]\n  x: 0\n";
    let read = value(text);
    assert_eq!(read["after"], json!({"x": 1, "k": 2}));
    assert_eq!(read["before"], json!({"x": 1, "k": 9}));
    assert_eq!(read["both"], json!({"x": 0, "k": 2, "z": 4}));
    assert_eq!(value("\"<<\": 1"), json!({"<<": 1}));
    assert_eq!(
        mistake("a:\n  <<: 1"),
        "yaml: line 2: map merge requires map or sequence of maps as the value"
    );
}

#[test]
fn aliases_repeat_what_they_name_and_never_themselves() {
    assert_eq!(
        value("a: &a {x: [1]}\nb: *a\n? &k c\n: *k\n"),
        json!({"a": {"x": [1]}, "b": {"x": [1]}, "c": "c"})
    );
    assert!(
        mistake("a: &a [*a]").contains("contains itself"),
        "{}",
        mistake("a: &a [*a]")
    );
    assert!(from_yaml(b"a: *nobody").is_err());
    let mut deep = "a0: &a0 []\n".to_owned();
    for level in 1..200 {
        deep.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(
        mistake(&deep).ends_with("exceeded max depth of 128"),
        "{}",
        mistake(&deep)
    );
}

#[test]
fn what_cannot_be_an_object_is_told_by_line() {
    assert_eq!(
        mistake("a: 1\nb: [1\nc: 2\n").split(',').next(),
        Some("yaml: line 3")
    );
    assert!(mistake("a: 1\n? [b]\n: c\n").starts_with("yaml: line 2: a collection cannot be the name"));
    assert!(mistake("~: 1").starts_with("yaml: line 1: the name of a member must be"));
    assert!(mistake("a: 1\n---\nb: 1\n").starts_with("yaml: line 2: another document"));
    assert_eq!(
        from_yaml(b"a: \xff").unwrap_err().to_string(),
        "yaml: invalid UTF-8 at byte 3"
    );
    assert_eq!(value(""), Value::Null);
    assert_eq!(value("# nothing\n---\n"), Value::Null);
}

#[test]
fn a_stream_is_read_document_by_document() {
    let read = documents_from_yaml(b"---\na: &x 1\n---\n# none\n---\na: 2\n...\n").unwrap();
    let values: Vec<Value> = read.into_iter().map(|document| document.value).collect();
    assert_eq!(values, [json!({"a": 1}), json!(null), json!({"a": 2})]);
    assert!(documents_from_yaml(b"a: &x 1\n---\nb: *x\n").is_err());
    assert!(documents_from_yaml(b"").unwrap().is_empty());
}

#[test]
fn what_is_written_looks_as_kubectl_writes_it() {
    let object = json!({
        "apiVersion": "v1",
        "args": ["-c", "--port=80", "- x", "a: b", "it's", ""],
        "data": {"conf": "a {\n  b;\n}\n", "end": "x\ny", "lead": " a\nb", "more": "x\n\n", "tab": "a\tb", "y": "n"},
        "empty": {}, "none": [], "null": null,
        "nested": [[1, {"a": true}], {"b": [{"c": "d"}]}],
        "time": "2026-11-21T22:35:50Z", "mode": "0644", "ratio": "1:30", "host": "10.0.0.1", "of": 1.5,
    });
    let expected = r##"apiVersion: v1
args:
- -c
- --port=80
- '- x'
- 'a: b'
- it's
- ""
data:
  conf: |
    a {
      b;
    }
  end: |-
    x
    y
  lead: " a\nb"
  more: |+
    x

  tab: "a\tb"
  "y": "n"
empty: {}
host: 10.0.0.1
mode: "0644"
nested:
- - 1
  - a: true
- b:
  - c: d
none: []
"null": null
of: 1.5
ratio: "1:30"
time: "2026-11-21T22:35:50Z"
"##;
    assert_eq!(to_yaml(&object), expected);
    assert_eq!(value(expected), object);
}

/// Texts that readers of YAML take for something else.
const TRAPS: &[&str] = &[
    "",
    "yes",
    "0644",
    "~",
    "<<",
    "a: b",
    "# c",
    "-",
    "- a",
    "---",
    "...",
    "? a",
    ": a",
    "a:",
    "1_0",
    "0x",
    "1e3",
    "'",
    "\"",
    "\\",
    "\n",
    " a",
    "a ",
    "a\n b",
    "a\n\n",
    "\na",
    "&a",
    "*a",
    "!a",
    "%a",
    "@a",
    "`a",
    "{",
    "[a",
    "|",
    ">",
    "a\u{7f}",
    "\u{85}",
    "\u{feff}a",
    "\u{2028}",
    "é",
    "😀",
    "a\r\nb",
    "a\tb",
    "a #b",
    "2001-01-01",
    "=",
    "a,b]",
];

/// Of which such texts are made.
const MARKS: &[char] = &[
    'a', 'y', '0', '1', ' ', '\n', ':', '-', '#', '\'', '"', '.', '_', '?', '\t', '\u{a0}', ',', '{', '%',
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(TRAPS).prop_map(str::to_owned),
        proptest::collection::vec(proptest::sample::select(MARKS), 0..12).prop_map(String::from_iter),
        any::<String>(),
        "[a-z]{120,140}",
    ]
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e6..1e6).prop_map(|float: f64| if float.fract() == 0.0 {
            json!(0.5)
        } else {
            json!(float)
        }),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(text(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_also_by_a_reader_of_yaml_1_2(value in tree()) {
        let text = to_yaml(&value);
        let read = from_yaml(text.as_bytes());
        prop_assert!(read.is_ok(), "{text}\n{read:?}");
        prop_assert_eq!(&read.unwrap().value, &value, "{}", text);
        let other: Result<Value, _> = serde_yaml_ng::from_str(&text);
        prop_assert!(other.is_ok(), "{text}\n{other:?}");
        prop_assert_eq!(&other.unwrap(), &value, "{}", text);
    }

    #[test]
    fn json_is_yaml(value in tree()) {
        let text = value.to_string();
        if !text.contains(|char: char| char.is_control() || matches!(char, '\u{feff}' | '\u{fffe}' | '\u{ffff}')) {
            prop_assert_eq!(from_yaml(text.as_bytes()).unwrap().value, value, "{}", text);
        }
    }

    #[test]
    fn no_text_makes_the_reader_fail_otherwise_than_by_an_error(text in "[a-b0-1 \n:?!&*{}\\[\\],'\"|>#%@-]{0,60}") {
        if let Ok(document) = from_yaml(text.as_bytes()) {
            prop_assert_eq!(value(&to_yaml(&document.value)), document.value);
        }
    }
}
