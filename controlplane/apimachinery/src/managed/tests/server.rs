//! A kind with each sort of list and map, the server that handles it, and what its tests look at.

use serde_json::{Value, json};

use super::*;
use crate::schema::Schemas;

const TABLE: &str = r#"[t] pkg.t
Box
  @ t.io/v1 Box
  apiVersion: string
  kind: string
  metadata: Meta
  spec: Spec
  status: Status
Meta
  annotations: {string}
  finalizers: [string] list=set
  labels: {string}
  managedFields: [any] list=atomic
  name: string
  namespace: string
  uid: string
Spec
  args: [string] list=atomic
  owner: Owner
  ports: [Port] list=map keys=number,protocol
  replicas: int32
  strategy: Free
  template!: Template
  items: [Item] list=map keys=name
Free
  type: string
  limits: {quantity}
Item
  image: string
  name!: string
Owner map=atomic
  name: string
  uid: string
Port
  name: string
  number!: int32
  protocol: string
Status
  phase: string
Template
  names!: [string] list=set
"#;
const DEFAULTS: &str = "[pkg.t]\nPort.protocol = \"TCP\"\n";

fn schemas() -> Schemas {
    Schemas::parse(TABLE, DEFAULTS).unwrap()
}

/// A server's handling of one kind, without the rest of a server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) schemas: Schemas,
    pub(super) now: Timestamp,
}

impl Server {
    pub(super) fn new() -> Self {
        Self {
            schemas: schemas(),
            now: "2026-01-02T03:04:05Z".parse().unwrap(),
        }
    }

    pub(super) fn later(&mut self) {
        self.now = self.now.checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
    }

    pub(super) fn writer<'a>(&'a self, manager: &'a str, subresource: &'a str) -> Writer<'a> {
        Writer {
            schema: self.schemas.kind("t.io", "v1", "Box").unwrap(),
            versions: &OneVersion,
            api_version: "t.io/v1",
            manager,
            subresource,
            reset: if subresource == "status" { &SPEC } else { &STATUS },
            now: self.now,
        }
    }

    pub(super) fn apply(
        &self,
        live: Option<&Value>,
        manager: &str,
        config: &Value,
    ) -> Result<Value, ApplyError> {
        self.applied(live, manager, config, false)
    }

    pub(super) fn force(&self, live: &Value, manager: &str, config: &Value) -> Value {
        self.applied(Some(live), manager, config, true).unwrap()
    }

    pub(super) fn applied(
        &self,
        live: Option<&Value>,
        manager: &str,
        config: &Value,
        force: bool,
    ) -> Result<Value, ApplyError> {
        let writer = self.writer(manager, "");
        let mut object = writer.apply(live, config, force)?;
        writer.schema.prune(&mut object);
        Ok(object)
    }

    pub(super) fn update(&self, live: Option<&Value>, manager: &str, new: &Value) -> Value {
        let mut new = new.clone();
        self.writer(manager, "").update(live, &mut new);
        new
    }
}

pub(super) fn a_box(spec: Value) -> Value {
    json!({"apiVersion": "t.io/v1", "kind": "Box", "metadata": {"name": "b", "namespace": "d"}, "spec": spec})
}

/// Who owns what: `manager operation subresource: path path`.
pub(super) fn owners(object: &Value) -> Vec<String> {
    let list = object["metadata"]
        .get("managedFields")
        .cloned()
        .unwrap_or_default();
    let managed = Managed::decode(&list).unwrap();
    let shown = |entry: &Entry| {
        let Entry {
            manager,
            operation,
            subresource,
            ..
        } = entry;
        let sub = if subresource.is_empty() {
            String::new()
        } else {
            format!("/{subresource}")
        };
        format!(
            "{manager} {}{sub}: {}",
            operation.as_str(),
            entry.fields.paths().join(" ")
        )
    };
    managed.entries().iter().map(shown).collect()
}

pub(super) fn times(object: &Value) -> Vec<String> {
    let list = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    list.iter()
        .map(|entry| entry["time"].as_str().unwrap_or("-").to_owned())
        .collect()
}
