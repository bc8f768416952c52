//! Pods.

mod columns;
mod defaults;
mod parts;
mod qos;
mod selected;
mod summary;
mod whole;

use serde_json::{Value, json};

pub use defaults::complete;
pub use qos::qos_class;

use super::define::{body, kind};
use crate::field::FieldError;
use crate::meta;
use crate::read;
use crate::resource::{Resource, Role, SelectableField, Verb};
use crate::strategy::{Context, DeleteOptions, Grace, Strategy, keep};
use crate::validate::pod;

/// What can be done with a part of a pod that is updated by itself.
const PART: [Verb; 3] = [Verb::Get, Verb::Patch, Verb::Update];
/// What a proxy hands on.
pub(super) const PROXY: [Verb; 5] = [Verb::Create, Verb::Delete, Verb::Get, Verb::Patch, Verb::Update];
const STREAM: [Verb; 2] = [Verb::Create, Verb::Get];

pub(super) fn resource() -> Resource {
    let connect = |resource: Resource, name, options| {
        resource.with_subresource(name, Role::Connect, &STREAM, body("", "v1", options))
    };
    let resource = kind("", "v1", "Pod", "pods")
        .short(&["po"])
        .in_category("all")
        .showing_deleted()
        .with_status()
        .with_subresource(
            "binding",
            Role::Binding,
            &[Verb::Create],
            body("", "v1", "Binding"),
        )
        .with_subresource(
            "eviction",
            Role::Eviction,
            &[Verb::Create],
            body("policy", "v1", "Eviction"),
        )
        .with_part("log", Role::Connect, &[Verb::Get])
        .with_part("ephemeralcontainers", Role::Update, &PART)
        .with_part("resize", Role::Update, &PART);
    let resource = connect(resource, "exec", "PodExecOptions");
    let resource = connect(resource, "attach", "PodAttachOptions");
    connect(resource, "portforward", "PodPortForwardOptions")
        .with_subresource("proxy", Role::Connect, &PROXY, body("", "v1", "PodProxyOptions"))
        .shown_by(columns::columns())
        .row_conditions(columns::conditions)
        .selected_by(selectable())
        .ruled_by(Rules)
}

fn selectable() -> Vec<SelectableField> {
    let mut fields: Vec<SelectableField> = [
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ]
    .into_iter()
    .map(SelectableField::path)
    .collect();
    fields.push(SelectableField::computed("spec.hostNetwork", |pod| {
        read::flag(pod, "spec.hostNetwork").to_string()
    }));
    fields.push(SelectableField::computed("status.podIPs", |pod| {
        let addresses = read::list(pod, "status.podIPs")
            .iter()
            .map(|address| read::text(address, "ip"));
        addresses.collect::<Vec<_>>().join(",")
    }));
    fields
}

/// Says of a pod with gates that it waits for them, so that nobody need ask the scheduler.
fn hold_back(pod: &mut Value, context: &Context) {
    if read::list(pod, "spec.schedulingGates").is_empty() {
        return;
    }
    let condition = json!({
        "type": "PodScheduled",
        "status": "False",
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
        "lastTransitionTime": crate::time::format(context.now),
    });
    meta::object_mut(meta::member_mut(pod, "status")).insert("conditions".to_owned(), json!([condition]));
}

#[derive(Debug)]
struct Rules;

impl Strategy for Rules {
    fn tracks_generation(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value, context: &Context) {
        defaults::fill(object);
        selected::narrow(object);
        let class = qos_class(object);
        meta::object_mut(object).insert(
            "status".to_owned(),
            json!({"phase": "Pending", "qosClass": class}),
        );
        hold_back(object, context);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, _: &Context) {
        defaults::fill_update(new, old);
        keep(new, old, "status");
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value, _: &Context) {
        let status = meta::object_mut(meta::member_mut(new, "status"));
        if let Some(class) = old.get("status").and_then(|status| status.get("qosClass")) {
            status.entry("qosClass").or_insert_with(|| class.clone());
        }
    }

    fn prepare_subresource_update(&self, part: &str, new: &mut Value, old: &Value, _: &Context) {
        match part {
            "ephemeralcontainers" => parts::keep_all_but_ephemeral(new, old),
            "resize" => parts::keep_all_but_sizes(new, old),
            // A binding is made by the server itself.
            _ => {}
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        pod::create(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        pod::update(new, old)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        pod::status_update(new, old)
    }

    fn validate_subresource_update(&self, part: &str, new: &Value, old: &Value) -> Vec<FieldError> {
        match part {
            "ephemeralcontainers" => pod::ephemeral(new, old),
            "resize" => pod::resize(new, old),
            _ => Vec::new(),
        }
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        pod::warnings::of_pod(new, old)
    }

    fn graceful_delete(&self, object: &Value, options: &DeleteOptions) -> Grace {
        let unbound = read::text(object, "spec.nodeName").is_empty();
        let finished = matches!(read::text(object, "status.phase"), "Succeeded" | "Failed");
        if unbound || finished {
            return Grace::Seconds(0);
        }
        let own = read::integer(object, "spec.terminationGracePeriodSeconds").unwrap_or(0);
        let seconds = options.grace_period_seconds.unwrap_or(own);
        Grace::Seconds(if seconds < 0 { 1 } else { seconds })
    }
}
