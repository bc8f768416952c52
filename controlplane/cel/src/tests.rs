//! Claims of the whole crate. Texts of syntax errors are ANTLR's, by which cel-go parses.

use super::*;

const PRIMARY: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, \
                       BYTES, IDENTIFIER}";
const OPERATORS: &str = "'==', '!=', 'in', '<', '<=', '>=', '>', '&&', '||', '['";

fn environment() -> Environment {
    Environment::new()
        .with("a", Type::Dyn)
        .with("b", Type::Dyn)
        .with("n", Type::Int)
        .with("names", Type::list(Type::Text))
        .with("labels", Type::map(Type::Text))
        .with("request", Type::named("Request"))
        .with("request.user", Type::Text)
        .with_type("Request", [("name", Type::Text), ("dryRun", Type::Bool)])
        .with_patches()
        .with_bindings()
}

/// What is wrong, a line an error, with line and column.
fn wrong(source: &str) -> Vec<String> {
    let shown = compile(source, &environment()).expect_err(source);
    let lines = shown
        .lines()
        .filter_map(|line| line.strip_prefix("ERROR: <input>:"));
    lines.map(str::to_owned).collect()
}

fn found(source: &str) -> String {
    compile(source, &environment())
        .unwrap_or_else(|error| panic!("{source}: {error}"))
        .to_string()
}

/// Fails with every line of `cases` whose expression is refused in other words.
fn assert_mistakes(cases: &str) {
    let mut failures = Vec::new();
    let cases = cases.lines().filter_map(|line| line.split_once('\t'));
    for (source, wanted) in cases {
        let source = &source.replace("\\n", "\n");
        let wanted = wanted.replace("PRIMARY", PRIMARY).replace("OPERATORS", OPERATORS);
        let found = wrong(source).join("|");
        if found != wanted {
            failures.push(format!("{source:?}\n  wanted {wanted}\n  found  {found}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn syntax_errors_are_told_as_antlr_tells_them() {
    assert_mistakes(include_str!("syntax.txt"));
}

#[test]
fn a_mistake_is_shown_with_its_line_and_a_caret() {
    let shown = compile("a ==\n  (b + c)", &environment()).unwrap_err();
    let wanted =
        "ERROR: <input>:2:8: undeclared reference to 'c' (in container '')\n |   (b + c)\n | .......^";
    assert_eq!(shown, wanted);
}

#[test]
fn types_are_found_and_mistakes_in_them_told_at_the_operator_as_cel_go_does() {
    assert_mistakes(include_str!("mistakes.txt"));
}

#[test]
fn what_kubernetes_documents_compiles() {
    let cases = [
        ("a.spec.replicas <= b.maxReplicas && n > 1", "bool"),
        ("a.b", "dyn"),
        ("request.user == 'ann' || request.dryRun", "bool"),
        ("has(a.spec.x) ? a.spec.x : 'none'", "dyn"),
        (
            "names.all(x, x.startsWith('p')) && labels.exists(k, labels[k] == '1')",
            "bool",
        ),
        ("names.map(x, x.size())", "list(int)"),
        (
            "names.filter(x, x != '').map(x, x.size() > 1, x + '!')",
            "list(string)",
        ),
        ("a.containers.exists_one(c, c.name == 'x')", "bool"),
        ("labels.all(k, v, k != v)", "bool"),
        ("names.transformList(i, v, i)", "list(int)"),
        ("a.?spec.?x.orValue(1) == 1", "bool"),
        ("optional.of(1).optMap(x, string(x))", "optional_type(string)"),
        ("labels[?'x'].hasValue()", "bool"),
        ("cel.bind(x, names.size(), x + 1)", "int"),
        ("quantity('1Gi').isGreaterThan(quantity('1Mi'))", "bool"),
        (
            "ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP('10.0.0.1')",
            "bool",
        ),
        (
            "timestamp('2026-01-01T00:00:00Z') + duration('1h') < timestamp(a.t)",
            "bool",
        ),
        ("type(a) == string", "bool"),
        ("-n + -1 - (-9223372036854775808)", "int"),
        ("1.5e3 > 1 && 0xFFu < 3u && .5 < 1.0", "bool"),
        ("Object{spec: Object.spec{replicas: 1}}", "Object"),
        (
            "[JSONPatch{op: 'add', path: '/x/' + jsonpatch.escapeKey('a/b'), value: 1}]",
            "list(JSONPatch)",
        ),
        ("sets.contains([1], [1]) && 'x' in labels && 'y' in names", "bool"),
        ("format.dns1123Label().validate('x').hasValue()", "bool"),
        (
            "'a b'.find('[a-z]') + r'\\d' + \"\\n\\u00e9\" + \"\"\"x\ny\"\"\"",
            "string",
        ),
        ("b'abc' == bytes('abc') // a comment", "bool"),
        ("{'a': 1}.a + {'b': 2}['b']", "int"),
        ("dyn(1) == 'x'", "bool"),
        ("null", "null"),
        ("a.b ? [] : [1]", "list(int)"),
        ("[] + ['x']", "list(string)"),
        ("a.b ? optional.none() : optional.of(1)", "optional_type(int)"),
        ("[]", "list(dyn)"),
    ];
    for (source, wanted) in cases {
        assert_eq!(found(source), wanted, "{source}");
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = [
        format!("{}1{}", "(".repeat(100_000 / 2 - 1), ")".repeat(100_000 / 2 - 1)),
        "[".repeat(99_999),
        format!("1{}", "+1".repeat(49_000)),
        format!("a{}", ".b".repeat(49_000)),
        format!("a{}", ".f()".repeat(24_000)),
        format!("a{}", "[0]".repeat(33_000)),
        format!("{}1", "a?b:".repeat(24_000)),
        format!("{}true{}", "a.all(x,".repeat(9_000), ")".repeat(9_000)),
        format!("{}1{}", "{1:".repeat(20_000), "}".repeat(20_000)),
    ];
    for source in deep {
        let shown = compile(&source, &environment()).unwrap_err();
        assert!(
            shown.contains("expression recursion limit exceeded: 250"),
            "{}",
            &source[..20]
        );
    }
    let long = compile(&"a".repeat(100_001), &environment()).unwrap_err();
    assert_eq!(
        long,
        "ERROR: :1:1: expression code point size exceeds limit: size: 100001, limit 100000"
    );
    for flat in [
        format!("a{}", " && a".repeat(19_000)),
        format!("{}a", "!".repeat(99_998)),
    ] {
        assert!(compile(&flat, &environment()).is_ok());
    }
}

#[test]
fn filters_of_filters_take_no_time() {
    let source = format!("names{} == names", ".filter(x, true)".repeat(200));
    assert_eq!(found(&source), "bool");
}

#[test]
fn types_neither_double_nor_nest_without_bound() {
    let doubled = format!("[{{1: 1}}]{}", ".map(x, {x: x})".repeat(120));
    assert!(compile(&doubled, &environment()).is_ok());
    let step = format!("{}x{}", "[".repeat(120), "]".repeat(120));
    let nested = format!("[1]{}", format!(".map(x, {step})").repeat(120));
    assert!(compile(&nested, &environment()).is_ok());
}

proptest::proptest! {
    #[test]
    fn nothing_panics(source in "[ab1 .,:?!()\\[\\]{}'\"\\\\+&|=<-]{0,40}|\\PC{0,20}") {
        drop(compile(&source, &environment()));
    }

    #[test]
    fn what_compiles_compiles_in_parentheses(source in "(a|n|names|1|'x')( (==|&&|\\+|in) (a|n|names|1|'x')){0,4}") {
        let plain = compile(&source, &environment());
        let inside = compile(&format!("({source})"), &environment());
        proptest::prop_assert_eq!(plain.is_ok(), inside.is_ok());
    }
}
