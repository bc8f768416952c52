//! Any bytes are an object and a patch of one of the four kinds, or an error. No patch nests an object too deeply or makes
//! more of it than its limits; an apply that went through changes nothing the second time.
#![no_main]

use std::sync::LazyLock;

use controlplane_apimachinery::codec;
use controlplane_apimachinery::managed::{OneVersion, STATUS, Writer};
use controlplane_apimachinery::patch::{JSON, MAX_COPIED, MERGE, Patch, STRATEGIC};
use controlplane_apimachinery::schema::TypeRef;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// Where the input has no object of its own.
static POD: LazyLock<Value> = LazyLock::new(|| {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"a": "b"}, "finalizers": ["x/y"]},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "protocol": "TCP"}]},
            {"name": "d", "env": [{"name": "A", "value": "1"}]}], "volumes": [{"name": "v", "emptyDir": {}}]}})
});

/// Between object and patch; no JSON holds it.
const CUT: u8 = 0xff;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let cut = rest.iter().position(|byte| *byte == CUT);
    let (object, patch) = match cut {
        Some(cut) => (codec::from_json(&rest[..cut]).ok().map(|read| read.value), &rest[cut + 1..]),
        None => (None, rest),
    };
    let object = object.filter(Value::is_object).unwrap_or_else(|| POD.clone());
    let schema = controlplane_schema::builtin().kind("", "v1", "Pod").expect("a built-in kind");
    match kind % 4 {
        0 => patched(JSON, patch, schema, &object),
        1 => patched(MERGE, patch, schema, &object),
        2 => patched(STRATEGIC, patch, schema, &object),
        _ => applied(patch, schema, object),
    }
});

fn patched(media_type: &str, patch: &[u8], schema: TypeRef<'_>, object: &Value) {
    let Ok((read, _)) = Patch::parse(media_type, patch) else { return };
    let Ok(result) = read.apply(Some(schema), object) else { return };
    let text = result.to_string();
    assert!(text.len() <= object.to_string().len() + patch.len() * 8 + MAX_COPIED, "{} bytes", text.len());
    if media_type == JSON {
        codec::from_json(text.as_bytes()).expect("no deeper than what is read");
    }
}

fn applied(patch: &[u8], schema: TypeRef<'_>, object: Value) {
    let Ok(read) = codec::from_yaml_or_json(patch) else { return };
    let mut config = read.value;
    if !config.is_object() || !schema.check(&object).is_empty() {
        return;
    }
    config["apiVersion"] = "v1".into();
    config["kind"] = "Pod".into();
    let writer = Writer {
        schema,
        versions: &OneVersion,
        api_version: "v1",
        manager: "fuzz",
        subresource: "",
        reset: &STATUS,
        now: "2026-01-02T03:04:05Z".parse().expect("a time"),
    };
    let mut live = object;
    schema.prune(&mut live);
    let Ok(mut once) = writer.apply(Some(&live), &config, true) else { return };
    if !schema.check(&once).is_empty() {
        return;
    }
    schema.prune(&mut once);
    let mut twice = writer.apply(Some(&once), &config, false).expect("nobody else has changed anything");
    schema.prune(&mut twice);
    assert_eq!(twice, once);
}
