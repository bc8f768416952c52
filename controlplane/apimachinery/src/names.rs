//! The rules for names, labels and keys, each answering with the sentences upstream answers with.
//!
//! Every check returns the rules that the value breaks; an empty list means the value is fine.

/// Longest DNS label.
pub const LABEL_MAX: usize = 63;
/// Longest DNS subdomain.
pub const SUBDOMAIN_MAX: usize = 253;

const LABEL_FMT: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED_FMT: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

/// A check of a name: what it breaks, or nothing.
pub type NameCheck = fn(&str) -> Vec<String>;

fn too_long(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// Upstream's way to show a rule: `msg (e.g. 'a',  or 'b', regex used for validation is '…')`.
fn with_regex(message: &str, regex: &str, examples: &[&str]) -> String {
    let shown: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!(
        "{message} (e.g. {}regex used for validation is '{regex}')",
        shown.join(" or ")
    )
}

fn is_label(value: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = value.as_bytes();
    bytes.iter().all(|&b| alnum(b) || b == b'-')
        && bytes.first().is_some_and(|&b| alnum(b))
        && bytes.last().is_some_and(|&b| alnum(b))
}

fn is_subdomain(value: &str) -> bool {
    value.split('.').all(is_label)
}

fn is_qualified(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes
        .iter()
        .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
}

/// RFC 1123 label, at most 63 bytes: namespaces, containers, volumes.
#[must_use]
pub fn dns_label(value: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if value.len() > LABEL_MAX {
        broken.push(too_long(LABEL_MAX));
    }
    if !is_label(value) {
        broken.push(if is_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            let rule = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', \
                        and must start and end with an alphanumeric character";
            with_regex(rule, LABEL_FMT, &["my-name", "123-abc"])
        });
    }
    broken
}

/// RFC 1123 subdomain, at most 253 bytes: most kinds' names.
#[must_use]
pub fn dns_subdomain(value: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if value.len() > SUBDOMAIN_MAX {
        broken.push(too_long(SUBDOMAIN_MAX));
    }
    if !is_subdomain(value) {
        let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
                    '.', and must start and end with an alphanumeric character";
        broken.push(with_regex(
            rule,
            &format!("{LABEL_FMT}(\\.{LABEL_FMT})*"),
            &["example.com"],
        ));
    }
    broken
}

/// RFC 1035 label, at most 63 bytes, a letter first: services.
#[must_use]
pub fn dns_1035_label(value: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if value.len() > LABEL_MAX {
        broken.push(too_long(LABEL_MAX));
    }
    if !is_label(value) || value.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        let rule = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                    alphabetic character, and end with an alphanumeric character";
        broken.push(with_regex(
            rule,
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    broken
}

/// Any name that can be one segment of a URL path: CSRs, RBAC objects.
#[must_use]
pub fn path_segment(value: &str) -> Vec<String> {
    match value {
        "." | ".." => vec![format!("may not be '{value}'")],
        _ => ["/", "%"]
            .into_iter()
            .filter(|banned| value.contains(banned))
            .map(|banned| format!("may not contain '{banned}'"))
            .collect(),
    }
}

const QUALIFIED_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
                              with an alphanumeric character";

fn qualified_rule() -> String {
    with_regex(QUALIFIED_RULE, QUALIFIED_FMT, &["MyName", "my.name", "123-abc"])
}

/// A label or annotation key: a name of at most 63 bytes with an optional `dns.subdomain/` before it.
#[must_use]
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((_, name)) if name.contains('/') => {
            return vec![format!(
                "a qualified name {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                qualified_rule()
            )];
        }
        Some(("", name)) => {
            broken.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            broken.extend(
                dns_subdomain(prefix)
                    .into_iter()
                    .map(|rule| format!("prefix part {rule}")),
            );
            name
        }
    };
    if name.is_empty() {
        broken.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        broken.push(format!("name part {}", too_long(LABEL_MAX)));
    }
    if !is_qualified(name) {
        broken.push(format!("name part {}", qualified_rule()));
    }
    broken
}

/// A label value: empty, or at most 63 bytes of the qualified-name alphabet.
#[must_use]
pub fn label_value(value: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if value.len() > LABEL_MAX {
        broken.push(too_long(LABEL_MAX));
    }
    if !value.is_empty() && !is_qualified(value) {
        let rule = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or \
                    '.', and must start and end with an alphanumeric character";
        broken.push(with_regex(
            rule,
            &format!("({QUALIFIED_FMT})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    broken
}

/// The name of an environment variable: printable ASCII without `=`.
#[must_use]
pub fn env_name(value: &str) -> Vec<String> {
    if value.is_empty() {
        return vec!["environment variable name must be non-empty".to_owned()];
    }
    if value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'=') {
        return Vec::new();
    }
    vec![
        "a valid environment variable name must consist only of printable ASCII characters other than '='"
            .to_owned(),
    ]
}

/// A key of a ConfigMap or Secret: a file name.
#[must_use]
pub fn config_key(value: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if value.len() > SUBDOMAIN_MAX {
        broken.push(too_long(SUBDOMAIN_MAX));
    }
    if value.is_empty()
        || !value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    {
        let rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        broken.push(with_regex(
            rule,
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    } else if value == "." || value == ".." {
        broken.push(format!("must not be '{value}'"));
    } else if value.starts_with("..") {
        broken.push("must not start with '..'".to_owned());
    }
    broken
}

/// The name of a port of a container or a service's target: at most 15 bytes, with a letter.
#[must_use]
pub fn port_name(value: &str) -> Vec<String> {
    let mut broken = Vec::new();
    if value.len() > 15 {
        broken.push(too_long(15));
    }
    if !value
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    {
        broken.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !value.bytes().any(|b| b.is_ascii_lowercase()) {
        broken.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        broken.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        broken.push("must not begin or end with a hyphen".to_owned());
    }
    broken
}

/// A port number.
#[must_use]
pub fn port_number(value: i64) -> Vec<String> {
    if (1..=65_535).contains(&value) {
        Vec::new()
    } else {
        vec!["must be between 1 and 65535, inclusive".to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or \
        '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used \
        for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
        characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', \
        regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

    #[test]
    fn good_names_break_no_rule() {
        for (check, value) in [
            (dns_label as NameCheck, "a"),
            (dns_label, "my-name-1"),
            (dns_label, "0abc"),
            (dns_subdomain, "a.b-c.d"),
            (dns_1035_label, "web-1"),
            (path_segment, "system:node"),
            (qualified_name, "app"),
            (qualified_name, "app.kubernetes.io/Name_1"),
            (label_value, ""),
            (label_value, "v1.2_3-x"),
            (env_name, "my.var-1"),
            (config_key, "nginx.conf"),
            (config_key, ".dockerconfigjson"),
            (port_name, "http-alt"),
        ] {
            assert_eq!(check(value), Vec::<String>::new(), "{value}");
        }
    }

    #[test]
    fn broken_rules_are_named_as_upstream_names_them() {
        let long = "a".repeat(64);
        for (check, value, rule) in [
            (dns_label as NameCheck, "Web", LABEL_RULE),
            (dns_label, "", LABEL_RULE),
            (dns_label, "-a", LABEL_RULE),
            (dns_label, "a.b", "must not contain dots"),
            (dns_label, &long, "must be no more than 63 characters"),
            (dns_subdomain, "a..b", SUBDOMAIN_RULE),
            (dns_subdomain, "A", SUBDOMAIN_RULE),
            (path_segment, "..", "may not be '..'"),
            (path_segment, "a/b", "may not contain '/'"),
            (qualified_name, "/a", "prefix part must be non-empty"),
            (label_value, &long, "must be no more than 63 characters"),
            (config_key, "..x", "must not start with '..'"),
            (config_key, "..", "must not be '..'"),
            (env_name, "", "environment variable name must be non-empty"),
            (port_name, "123", "must contain at least one letter (a-z)"),
            (port_name, "a--b", "must not contain consecutive hyphens"),
            (
                port_name,
                "abcdefghijklmnop",
                "must be no more than 15 characters",
            ),
        ] {
            assert_eq!(check(value), [rule], "{value}");
        }
        assert_eq!(port_number(0), ["must be between 1 and 65535, inclusive"]);
        assert_eq!(port_number(65_536).len(), 1);
    }

    #[test]
    fn a_key_without_a_name_breaks_two_rules() {
        assert_eq!(qualified_name("example.com/").len(), 2);
        assert_eq!(qualified_name("a/b/c").len(), 1);
    }
}
