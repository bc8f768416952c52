//! What changed between two versions of an object, field by field.

use std::collections::BTreeMap;

use owo_colors::OwoColorize;
use serde_json::Value;

use super::output::Colours;

/// Fields that repeat what others say, or change with every write.
const NOISE: [&str; 4] = [
    "metadata.resourceVersion",
    "metadata.managedFields",
    "metadata.generation",
    "metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]",
];

/// The changes from `before` to `after` as lines: `path: old -> new`, `+ path: new`, `- path: old`.
///
/// Elements of a list are told apart by their name, type or key where they have one, so that one put in front does not
/// change all that follow.
pub(super) fn lines(before: &Value, after: &Value, colours: Colours) -> Vec<String> {
    let (mut old, mut new) = (Leaves::new(), Leaves::new());
    flatten(String::new(), before, &mut old);
    flatten(String::new(), after, &mut new);
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    let changed = paths
        .into_iter()
        .filter(|path| old.get(*path) != new.get(*path) && !is_noise(path));
    changed
        .map(|path| line(path, old.get(path), new.get(path), colours))
        .collect()
}

type Leaves = BTreeMap<String, String>;

fn is_noise(path: &str) -> bool {
    NOISE.iter().any(|noise| {
        path.strip_prefix(noise)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

fn flatten(path: String, value: &Value, out: &mut Leaves) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                let name = if name.contains(['.', '/']) {
                    format!("[{name}]")
                } else {
                    format!(".{name}")
                };
                let inner = format!("{path}{name}");
                flatten(inner.trim_start_matches('.').to_owned(), field, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let names = names(items);
            for (at, item) in items.iter().enumerate() {
                let name = names.as_ref().and_then(|names| names.get(at).cloned());
                flatten(
                    format!("{path}[{}]", name.unwrap_or_else(|| at.to_string())),
                    item,
                    out,
                );
            }
        }
        leaf => drop(out.insert(path, shown(leaf))),
    }
}

/// What tells the elements of a list apart, such as `name=web`, where it tells all of them apart.
fn names(items: &[Value]) -> Option<Vec<String>> {
    ["name", "type", "key", "uid", "ip"]
        .into_iter()
        .find_map(|field| {
            let name = |item: &Value| Some(format!("{field}={}", item.get(field)?.as_str()?));
            let names = items.iter().map(name).collect::<Option<Vec<_>>>()?;
            let mut unique = names.clone();
            unique.sort();
            unique.dedup();
            (unique.len() == names.len()).then_some(names)
        })
}

fn shown(leaf: &Value) -> String {
    match leaf {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a text can stand without quotes and is not taken for something else.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && !text.contains(char::is_control)
        && serde_json::from_str::<Value>(text).is_err()
}

fn line(path: &str, old: Option<&String>, new: Option<&String>, colours: Colours) -> String {
    let text = match (old, new) {
        (Some(old), Some(new)) => format!("  {path}: {old} -> {new}"),
        (None, new) => format!("+ {path}: {}", new.map_or("", |new| new)),
        (old, None) => format!("- {path}: {}", old.map_or("", |old| old)),
    };
    match (colours, old, new) {
        (Colours::Off, ..) | (_, Some(_), Some(_)) => text,
        (Colours::On, None, _) => text.green().to_string(),
        (Colours::On, _, None) => text.red().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_change_is_one_line_with_its_path() {
        let before = json!({
            "metadata": {"resourceVersion": "1", "labels": {"app": "web", "example.com/tier": "a"}},
            "spec": {"replicas": 1, "containers": [{"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}], "args": ["x", "y"]},
        });
        let after = json!({
            "metadata": {"resourceVersion": "2", "labels": {"app": "web", "example.com/tier": "b"}},
            "spec": {"replicas": 3, "containers": [{"name": "c", "image": "c:1"}, {"name": "a", "image": "a:2"}], "args": ["x"], "on": "true"},
        });
        assert_eq!(
            lines(&before, &after, Colours::Off),
            [
                "  metadata.labels[example.com/tier]: a -> b",
                "- spec.args[1]: y",
                "  spec.containers[name=a].image: a:1 -> a:2",
                "- spec.containers[name=b].image: b:1",
                "- spec.containers[name=b].name: b",
                "+ spec.containers[name=c].image: c:1",
                "+ spec.containers[name=c].name: c",
                "+ spec.on: \"true\"",
                "  spec.replicas: 1 -> 3",
            ]
        );
        assert!(lines(&before, &before, Colours::Off).is_empty());
    }

    #[test]
    fn what_is_empty_is_a_change_too() {
        let lines = lines(
            &json!({"spec": {"a": {}}}),
            &json!({"spec": {"a": [], "b": ""}}),
            Colours::Off,
        );
        assert_eq!(lines, ["  spec.a: {} -> []", "+ spec.b: \"\""]);
    }
}
