use std::fmt::Write;

use controlplane_api::time;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::DescribeArgs;
use super::api::{Api, query};
use super::get::list;
use super::output::{Output, note};
use super::target::resolve;

/// Widest column of field names that values line up behind.
const ALIGN: usize = 24;
/// Fields that say nothing to a reader.
const HIDDEN: [&str; 3] = ["managedFields", "resourceVersion", "selfLink"];
/// Fields whose keys are the user's own and stay as they are.
const OWN_KEYS: [&str; 13] = [
    "allocatable",
    "annotations",
    "binaryData",
    "capacity",
    "data",
    "hard",
    "labels",
    "limits",
    "matchLabels",
    "nodeSelector",
    "requests",
    "selector",
    "stringData",
];
/// Annotations that repeat the object.
const HIDDEN_ANNOTATIONS: [&str; 1] = [super::merge::LAST_APPLIED];

pub(super) async fn run(api: &Api, args: &DescribeArgs, out: &mut Output) -> anyhow::Result<()> {
    let targets = resolve(api, &args.target, &args.file, &args.place, &args.which).await?;
    let mut described = 0;
    for target in &targets {
        for object in list(api, target, args.which.selector.as_deref()).await? {
            if described > 0 {
                out.write("\n\n")?;
            }
            described += 1;
            let events = events(api, &object).await;
            out.write(&describe(&object, events.as_deref(), Timestamp::now()))?;
        }
    }
    if described == 0 {
        note("No resources found");
    }
    Ok(())
}

/// The object's events, oldest first; none where they cannot be read, which is no reason not to describe.
async fn events(api: &Api, object: &Value) -> Option<Vec<Value>> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let fields = [
        ("uid", "/metadata/uid"),
        ("name", "/metadata/name"),
        ("kind", "/kind"),
    ];
    let wanted = fields
        .iter()
        .filter_map(|(field, at)| Some(format!("involvedObject.{field}={}", text(at)?)));
    let selector = wanted.collect::<Vec<_>>().join(",");
    let path = match text("/metadata/namespace") {
        Some(namespace) => format!("/api/v1/namespaces/{}/events", super::api::escape(namespace)),
        None => "/api/v1/events".to_owned(),
    };
    let mut found = api
        .get(&query(&path, &[("fieldSelector", Some(&selector))]))
        .await
        .ok()?;
    let mut events = match found.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    events.sort_by_key(|event| last_seen(event).and_then(Value::as_str).map(str::to_owned));
    Some(events)
}

fn last_seen(event: &Value) -> Option<&Value> {
    let set = |name: &str| event.get(name).filter(|time| time.is_string());
    set("lastTimestamp")
        .or_else(|| set("eventTime"))
        .or_else(|| event.pointer("/metadata/creationTimestamp"))
}

/// The description: who the object is, then every field in words, then its events.
fn describe(object: &Value, events: Option<&[Value]>, now: Timestamp) -> String {
    let mut text = String::new();
    heading(&mut text, object, now);
    let secret = object.get("kind").and_then(Value::as_str) == Some("Secret");
    for (name, value) in object.as_object().into_iter().flatten() {
        match name.as_str() {
            "apiVersion" | "kind" | "metadata" => {}
            "data" | "stringData" if secret => sizes(&mut text, name, value),
            _ => field(&mut text, 0, name, value),
        }
    }
    match events {
        Some([]) => text.push_str("Events:  <none>\n"),
        Some(events) => text.push_str(&event_table(events, now)),
        None => text.push_str("Events:  <unknown>\n"),
    }
    text
}

fn heading(text: &mut String, object: &Value, now: Timestamp) {
    let part = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let mut row = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            line(text, 0, name, &value);
        }
    };
    row("Name", part("/metadata/name").map(str::to_owned));
    row("Namespace", part("/metadata/namespace").map(str::to_owned));
    row(
        "Kind",
        part("/kind").map(|kind| format!("{kind} ({})", part("/apiVersion").unwrap_or_default())),
    );
    row("Labels", Some(pairs(object.pointer("/metadata/labels"), &[])));
    row(
        "Annotations",
        Some(pairs(
            object.pointer("/metadata/annotations"),
            &HIDDEN_ANNOTATIONS,
        )),
    );
    let created = object.pointer("/metadata/creationTimestamp");
    row(
        "Created",
        part("/metadata/creationTimestamp").map(|at| format!("{at} ({} ago)", time::age(created, now))),
    );
    row(
        "Deletion",
        part("/metadata/deletionTimestamp").map(|at| format!("asked for, due {at}")),
    );
    let owners = object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array);
    let owner = |owner: &Value| {
        let part = |name: &str| {
            owner
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        format!("{}/{}", part("kind"), part("name"))
    };
    row(
        "Owned By",
        owners.map(|owners| owners.iter().map(owner).collect::<Vec<_>>().join(", ")),
    );
}

/// `a=b` one under the other.
fn pairs(map: Option<&Value>, hidden: &[&str]) -> String {
    let map = map.and_then(Value::as_object);
    let shown = map
        .into_iter()
        .flatten()
        .filter(|(name, _)| !hidden.contains(&name.as_str()));
    let lines: Vec<String> = shown
        .map(|(name, value)| format!("{name}={}", scalar(value)))
        .collect();
    if lines.is_empty() {
        return "<none>".to_owned();
    }
    lines.join(&format!("\n{}", " ".repeat(ALIGN)))
}

/// The names and sizes of a secret's values, never the values.
fn sizes(text: &mut String, name: &str, data: &Value) {
    line(text, 0, &title(name), "");
    for (key, value) in data.as_object().into_iter().flatten() {
        let encoded = value.as_str().unwrap_or_default();
        let bytes = encoded.trim_end_matches('=').len() * 3 / 4;
        line(text, 1, key, &format!("{bytes} bytes"));
    }
}

fn field(text: &mut String, depth: usize, name: &str, value: &Value) {
    if HIDDEN.contains(&name) {
        return;
    }
    let shown = title(name);
    match value {
        Value::Object(fields)
            if OWN_KEYS.contains(&name) && fields.values().all(|value| !value.is_object()) =>
        {
            line(text, depth, &shown, if fields.is_empty() { "<none>" } else { "" });
            for (key, value) in fields {
                line(text, depth + 1, key, &scalar(value));
            }
        }
        Value::Object(fields) if fields.is_empty() => line(text, depth, &shown, "<none>"),
        Value::Object(fields) => {
            line(text, depth, &shown, "");
            object(text, depth + 1, fields, None);
        }
        Value::Array(list) if list.is_empty() => line(text, depth, &shown, "<none>"),
        Value::Array(list)
            if list
                .iter()
                .all(|element| !element.is_object() && !element.is_array()) =>
        {
            line(
                text,
                depth,
                &shown,
                &list.iter().map(scalar).collect::<Vec<_>>().join(", "),
            );
        }
        Value::Array(list) => elements(text, depth, &shown, list),
        _ => line(text, depth, &shown, &scalar(value)),
    }
}

fn object(text: &mut String, depth: usize, fields: &Map<String, Value>, without: Option<&str>) {
    for (name, value) in fields.iter().filter(|(name, _)| Some(name.as_str()) != without) {
        field(text, depth, name, value);
    }
}

/// Each element under the field that names it, or else its number.
fn elements(text: &mut String, depth: usize, shown: &str, list: &[Value]) {
    line(text, depth, shown, "");
    for (at, element) in list.iter().enumerate() {
        let Some(fields) = element.as_object() else {
            line(text, depth + 1, &(at + 1).to_string(), &scalar(element));
            continue;
        };
        let named = ["name", "type", "ip", "key"]
            .into_iter()
            .find(|name| fields.get(*name).is_some_and(Value::is_string));
        let heading = named
            .and_then(|name| fields.get(name))
            .map_or_else(|| (at + 1).to_string(), scalar);
        line(text, depth + 1, &heading, "");
        object(text, depth + 2, fields, named);
    }
}

fn line(text: &mut String, depth: usize, name: &str, value: &str) {
    let indent = "  ".repeat(depth);
    let name = format!("{indent}{name}:");
    let block = format!("\n{indent}    ");
    let written = if value.is_empty() {
        writeln!(text, "{name}")
    } else if depth > 0 && value.contains('\n') {
        writeln!(text, "{name}{block}{}", value.trim_end().replace('\n', &block))
    } else {
        writeln!(
            text,
            "{name:<ALIGN$}{}{value}",
            if name.len() >= ALIGN { " " } else { "" }
        )
    };
    written.unwrap_or_default();
}

/// `restartPolicy` as `Restart Policy`, `podIP` as `Pod IP`.
fn title(name: &str) -> String {
    let mut title = String::new();
    let mut before = ' ';
    for (at, letter) in name.chars().enumerate() {
        if at == 0 {
            title.extend(letter.to_uppercase());
        } else if letter.is_uppercase() && before.is_lowercase() {
            title.extend([' ', letter]);
        } else {
            title.push(letter);
        }
        before = letter;
    }
    title
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "<none>".to_owned(),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn event_table(events: &[Value], now: Timestamp) -> String {
    let part = |event: &Value, name: &str| {
        event
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut rows = vec![["Type", "Reason", "Age", "From", "Message"].map(str::to_owned)];
    rows.extend(events.iter().map(|event| {
        let from = event
            .pointer("/source/component")
            .and_then(Value::as_str)
            .filter(|from| !from.is_empty());
        let from = from.map_or_else(|| part(event, "reportingComponent"), str::to_owned);
        [
            part(event, "type"),
            part(event, "reason"),
            age(event, now),
            from,
            part(event, "message"),
        ]
    }));
    let width = |at: usize| {
        rows.iter()
            .filter_map(|row| row.get(at))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..5).map(|at| width(at).unwrap_or(0)).collect();
    let mut text = "Events:\n".to_owned();
    for row in &rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(
            &format!("  {}", cells.collect::<Vec<_>>().join("  "))
                .trim_end()
                .replace('\n', " "),
        );
        text.push('\n');
    }
    text
}

/// `5s`, or `5s (x3 over 2m)` for one that came again.
fn age(event: &Value, now: Timestamp) -> String {
    let last = time::age(last_seen(event), now);
    match event.get("count").and_then(Value::as_i64) {
        Some(count) if count > 1 => format!(
            "{last} (x{count} over {})",
            time::age(event.get("firstTimestamp"), now)
        ),
        _ => last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> Timestamp {
        "2026-11-21T04:05:00Z".parse().unwrap()
    }

    #[test]
    fn an_object_is_told_in_words_with_its_events() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "web-0", "namespace": "default", "creationTimestamp": "2026-11-21T04:00:00Z",
                "labels": {"app": "web"}, "managedFields": [{}],
                "ownerReferences": [{"kind": "ReplicaSet", "name": "web"}],
            },
            "spec": {"restartPolicy": "Always", "nodeSelector": {"disk": "fast"}, "containers": [{"name": "nginx", "image": "nginx:1", "args": ["a", "b"]}]},
            "status": {"podIP": "10.42.0.7"},
        });
        let event = json!({
            "type": "Normal", "reason": "Started", "message": "Started container nginx", "count": 3,
            "firstTimestamp": "2026-11-21T04:03:00Z", "lastTimestamp": "2026-11-21T04:04:55Z",
            "source": {"component": "floe-agent"},
        });
        let text = describe(&pod, Some(&[event]), now());
        for expected in [
            "Name:                   web-0\n",
            "Created:                2026-11-21T04:00:00Z (5m ago)\n",
            "Owned By:               ReplicaSet/web\n",
            "  Restart Policy:       Always\n",
            "    disk:               fast\n",
            "    nginx:\n",
            "      Args:             a, b\n",
            "  Pod IP:               10.42.0.7\n",
            "  Normal  Started  5s (x3 over 2m)  floe-agent  Started container nginx\n",
        ] {
            assert!(text.contains(expected), "{expected:?} in\n{text}");
        }
        assert!(!text.contains("Managed"));
    }

    #[test]
    fn a_secret_shows_sizes_and_no_values() {
        let secret =
            json!({"kind": "Secret", "metadata": {"name": "s"}, "data": {"password": "aHVudGVyMg=="}});
        let text = describe(&secret, Some(&[]), now());
        assert!(text.contains("password:             7 bytes"), "{text}");
        assert!(!text.contains("aHVudGVyMg"));
        assert!(text.ends_with("Events:  <none>\n"));
    }
}
