//! Objects of any shape are refused or accepted, never a crash: types are checked before, and a fault there
//! must not become one here.

use controlplane_api::rest::{self, Part};
use controlplane_api::strategy::{Context, DeleteOptions, UserInfo};
use controlplane_api::table::{self, Include};
use proptest::prelude::*;
use serde_json::{Map, Value};

/// Members that the rules and columns look for.
const WORDS: [&str; 48] = [
    "metadata",
    "name",
    "namespace",
    "labels",
    "annotations",
    "finalizers",
    "ownerReferences",
    "deletionTimestamp",
    "spec",
    "status",
    "containers",
    "initContainers",
    "ephemeralContainers",
    "image",
    "ports",
    "containerPort",
    "hostPort",
    "protocol",
    "env",
    "valueFrom",
    "fieldRef",
    "fieldPath",
    "volumes",
    "volumeMounts",
    "hostPath",
    "path",
    "secret",
    "items",
    "livenessProbe",
    "httpGet",
    "port",
    "securityContext",
    "seccompProfile",
    "sysctls",
    "tolerations",
    "affinity",
    "selector",
    "matchLabels",
    "matchExpressions",
    "template",
    "strategy",
    "rollingUpdate",
    "conditions",
    "type",
    "containerStatuses",
    "state",
    "subsets",
    "data",
];

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~é]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let members = prop::collection::vec((prop::sample::select(WORDS.to_vec()), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            members.prop_map(|members| {
                Value::Object(
                    members
                        .into_iter()
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect::<Map<_, _>>(),
                )
            }),
        ]
    })
}

/// An object with the three members that every kind has, of any shape.
fn object() -> impl Strategy<Value = Value> {
    (json(), json(), json(), json()).prop_map(|(metadata, spec, status, data)| {
        serde_json::json!({"metadata": metadata, "spec": spec, "status": status, "subsets": data})
    })
}

proptest! {
    #[test]
    fn no_object_crashes_a_step_and_every_row_is_complete(new in object(), old in object()) {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let context = Context::new(now, UserInfo::default());
        for resource in controlplane_api::builtin().iter() {
            let row = table::row(resource, &new, now, Include::Object);
            prop_assert_eq!(row["cells"].as_array().map(Vec::len), Some(resource.columns.len()));
            let mut created = new.clone();
            let accepted = rest::prepare_create(resource, &mut created, "default", &context).is_ok();
            prop_assert!(!accepted || created["metadata"]["uid"] == context.uid.as_str());
            for part in [Part::Main, Part::Status, Part::Sub("approval"), Part::Sub("finalize")] {
                let mut updated = new.clone();
                let accepted = rest::prepare_update(resource, part, &mut updated, &old, &context).is_ok();
                prop_assert!(!accepted || updated["metadata"].get("uid") == old["metadata"].get("uid"));
            }
            prop_assert!(rest::prepare_delete(resource, &old, &DeleteOptions::default(), &context).is_ok());
        }
    }
}
