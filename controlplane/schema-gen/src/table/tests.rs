use std::path::Path;

use super::generate;

const SMALL: &str = r##"{"$defs": {
  "io.example.apps.v1.Box": {"type": ["object", "null"], "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Box"}],
    "required": ["spec"], "properties": {
      "apiVersion": {"type": ["string", "null"], "enum": ["apps/v1"]},
      "metadata": {"$ref": "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
      "spec": {"$ref": "#/$defs/io.example.apps.v1.BoxSpec"}}},
  "io.example.apps.v1.BoxSpec": {"type": "object", "properties": {
      "args": {"type": ["array", "null"], "items": {"type": "string"}, "x-kubernetes-list-type": "atomic"},
      "colour": {"type": "string", "enum": ["red", "blue", null], "default": "red"},
      "limits": {"type": "object", "additionalProperties": {"$ref": "#/$defs/io.k8s.apimachinery.pkg.api.resource.Quantity"}},
      "ports": {"type": "array", "items": {"type": "integer", "format": "int32"}, "x-kubernetes-patch-merge-key": "port", "x-kubernetes-patch-strategy": "merge"}}},
  "io.example.apps.v1.Unused": {"type": "object"},
  "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": []},
  "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "object", "properties": {"name": {"type": "string"}}}
}}"##;

#[test]
fn the_table_holds_what_the_kinds_reach_and_nothing_else() {
    let table = generate(SMALL.as_bytes()).expect("small input");
    let body: Vec<&str> = table
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    let expected = "\
[apps.v1] io.example.apps.v1
Box
  @ apps/v1 Box
  apiVersion: string
  metadata: meta.v1.ObjectMeta
  spec!: BoxSpec
BoxSpec
  args: [string] list=atomic
  colour: string enum=red,blue default=\"red\"
  limits: {api.resource.Quantity}
  ports: [int32] merge=port patch=merge
[api.resource] io.k8s.apimachinery.pkg.api.resource
Quantity = quantity
[meta.v1] io.k8s.apimachinery.pkg.apis.meta.v1
ObjectMeta
  name: string";
    assert_eq!(body.join("\n"), expected);
}

#[test]
fn a_reference_to_nothing_is_refused_by_name() {
    let broken = SMALL.replace("io.example.apps.v1.BoxSpec\": {", "io.example.apps.v1.Other\": {");
    let error = generate(broken.as_bytes()).expect_err("dangling reference");
    assert!(
        error.to_string().contains("io.example.apps.v1.BoxSpec"),
        "{error}"
    );
}

#[test]
fn other_json_is_refused() {
    assert!(generate(b"{}").is_err());
    assert!(generate(br#"{"definitions": {}}"#).is_err());
}

/// Needs the published schemas, which are not checked in: set `KUBERNETES_DEFINITIONS` to the file.
#[test]
fn the_table_checked_in_is_what_the_generator_makes() {
    let Some(input) = std::env::var_os("KUBERNETES_DEFINITIONS") else {
        return;
    };
    let json = std::fs::read(input).expect("read the published schemas");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schema/kubernetes.table");
    let current = std::fs::read_to_string(path).expect("read the table");
    assert!(
        generate(&json).expect("published schemas") == current,
        "kubernetes.table is stale: run schema-gen"
    );
}
