//! Keeping up with the objects, and telling in them what was found.

use std::collections::BTreeSet;
use std::sync::Arc;

use controlplane_api::kinds::flow_defaults;
use controlplane_api::{meta, time};
use controlplane_store::{Entry, Key, Range, WatchError};
use jiff::Timestamp;
use serde_json::{Value, json};
use tracing::{debug, warn};

use super::{Config, TOTAL_SEATS};
use crate::server::ApiServer;

const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";

/// Goes by the objects in the store, whenever they change, until the server stops.
pub(crate) async fn follow(server: ApiServer) {
    let (store, stop) = (server.0.store.clone(), server.0.stop.clone());
    let folder = format!("{}flowcontrol.apiserver.k8s.io/", Key::ROOT);
    loop {
        let (listing, mut watch) = match store.list_and_watch(&Range::prefix(&folder)) {
            Ok(both) => both,
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "flow control stays as it is: its objects cannot be read"
                );
                return;
            }
        };
        take(&server, &listing.entries).await;
        tokio::select! {
            biased;
            // Cancel-safe: a token stays cancelled.
            () = stop.cancelled() => return,
            // Cancel-safe: everything is read anew after whatever it was.
            changed = watch.next() => match changed {
                Ok(_) | Err(WatchError::Lagged { .. }) => debug!("flow control changed"),
                Err(WatchError::Closed { .. }) => return,
            },
        }
    }
}

/// Goes by what the objects say, unless there are no levels.
async fn take(server: &ApiServer, entries: &[Arc<Entry>]) {
    let levels = objects(entries, "/prioritylevelconfigurations/");
    let schemas = objects(entries, "/flowschemas/");
    if levels.is_empty() {
        return;
    }
    server
        .0
        .flow
        .configure(Config::of(TOTAL_SEATS, &schemas, &levels));
    if is_incomplete(&schemas, &levels)
        && let Err(error) = server.ensure_flow_control().await
    {
        warn!(
            error = &error as &dyn std::error::Error,
            "flow control lacks objects that every cluster has"
        );
    }
    let known: BTreeSet<&str> = levels.iter().map(meta::name).collect();
    let now = server.0.clock.now();
    for schema in schemas
        .into_iter()
        .filter_map(|schema| judged(schema, &known, now))
    {
        let path = format!("{SCHEMAS}/{}/status", meta::name(&schema));
        let (code, answer) = server.send("PUT", &path, &schema).await;
        // One that changed meanwhile, or is gone, is looked at again by that change.
        if !matches!(code, 200 | 404 | 409) {
            let message = answer.get("message").and_then(Value::as_str);
            warn!(
                path,
                code, message, "a flow schema does not tell whether its level is there"
            );
        }
    }
}

/// Whether an object is missing that every cluster has.
fn is_incomplete(schemas: &[Value], levels: &[Value]) -> bool {
    let lacks = |found: &[Value], wanted: Vec<Value>| {
        let is_there = |wanted: &Value| {
            found
                .iter()
                .any(|object| meta::name(object) == meta::name(wanted))
        };
        !wanted.iter().all(is_there)
    };
    lacks(levels, flow_defaults::mandatory_levels())
        || lacks(levels, flow_defaults::suggested_levels())
        || lacks(schemas, flow_defaults::mandatory_schemas())
        || lacks(schemas, flow_defaults::suggested_schemas())
}

/// The schema with its condition `Dangling` as it should be; none where it is so already.
fn judged(mut schema: Value, levels: &BTreeSet<&str>, now: Timestamp) -> Option<Value> {
    let level = schema
        .pointer("/spec/priorityLevelConfiguration/name")?
        .as_str()?;
    let (status, reason, found) = match levels.contains(level) {
        true => ("False", "Found", "and it exists"),
        false => ("True", "NotFound", "but there is no such object"),
    };
    let message =
        format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} {found}");
    let conditions = schema.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.cloned().unwrap_or_default();
    let is_ours = |condition: &Value| condition.get("type").and_then(Value::as_str) == Some("Dangling");
    let says =
        |condition: &Value, name: &str, text: &str| condition.get(name).and_then(Value::as_str) == Some(text);
    let settled =
        |condition: &Value| says(condition, "status", status) && says(condition, "message", &message);
    if conditions
        .iter()
        .any(|condition| is_ours(condition) && settled(condition))
    {
        return None;
    }
    conditions.retain(|condition| !is_ours(condition));
    conditions.push(json!({
        "type": "Dangling", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": time::format(now),
    }));
    let map = schema.as_object_mut()?;
    map.insert("status".to_owned(), json!({"conditions": conditions}));
    Some(schema)
}

fn objects(entries: &[Arc<Entry>], folder: &str) -> Vec<Value> {
    let parse = |entry: &Arc<Entry>| {
        let read = entry.value.to_json(entry.mod_revision);
        read.inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            warn!(
                error,
                key = entry.key.as_str(),
                "leave out an object that cannot be read"
            );
        })
        .ok()
    };
    let in_folder = entries.iter().filter(|entry| entry.key.as_str().contains(folder));
    in_folder.filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_whose_level_is_not_there_dangles_until_it_is() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let schema = json!({
            "metadata": {"name": "s"}, "spec": {"priorityLevelConfiguration": {"name": "l"}},
            "status": {"conditions": [{"type": "Somebody's", "status": "True"}]},
        });
        let dangling = judged(schema, &BTreeSet::new(), now).unwrap();
        let conditions = &dangling["status"]["conditions"];
        assert_eq!(conditions[0]["type"], "Somebody's");
        assert_eq!(
            (&conditions[1]["status"], &conditions[1]["reason"]),
            (&json!("True"), &json!("NotFound"))
        );
        assert_eq!(judged(dangling.clone(), &BTreeSet::new(), now), None);
        let found = judged(dangling, &BTreeSet::from(["l"]), now).unwrap();
        let message =
            "This FlowSchema references the PriorityLevelConfiguration object named \"l\" and it exists";
        assert_eq!(found["status"]["conditions"][1]["message"], message);
        assert_eq!(found["status"]["conditions"].as_array().unwrap().len(), 2);
    }
}
