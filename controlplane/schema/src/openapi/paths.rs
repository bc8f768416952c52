//! Paths and operations of a group and version.

use serde_json::{Map, Value, json};

use super::components::References;
use super::parameters::{self, Method};
use super::{GroupVersionDoc, ResourceDoc, SubresourceDoc};

const JSON: &str = "application/json";
const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// All paths of `doc`.
pub(super) fn all(doc: &GroupVersionDoc, refs: &mut References<'_>) -> Value {
    let root = match doc.group.as_str() {
        "" => format!("/api/{}", doc.version),
        group => format!("/apis/{group}/{}", doc.version),
    };
    let mut paths = Map::new();
    for resource in &doc.resources {
        add_resource(&mut paths, &root, doc, resource, refs);
    }
    Value::Object(paths)
}

fn add_resource(
    paths: &mut Map<String, Value>,
    root: &str,
    doc: &GroupVersionDoc,
    resource: &ResourceDoc,
    refs: &mut References<'_>,
) {
    let own = Subject {
        group: &doc.group,
        version: &doc.version,
        kind: &resource.kind,
    };
    let mut writer = Writer { doc, resource, refs };
    let has = |verb: &str| resource.verbs.iter().any(|own| own == verb);
    let plural = &resource.plural;
    let scope = if resource.namespaced {
        format!("{root}/namespaces/{{namespace}}")
    } else {
        root.to_owned()
    };
    if resource.namespaced && has("list") {
        let everywhere = writer.item(&[(Method::List, "ForAllNamespaces")], own, &[]);
        paths.insert(format!("{root}/{plural}"), everywhere);
    }
    let wanted = |methods: &[(Method, &'static str)]| -> Vec<(Method, &'static str)> {
        methods
            .iter()
            .copied()
            .filter(|(method, _)| has(verb(*method)))
            .collect()
    };
    let collection = wanted(&[
        (Method::List, ""),
        (Method::Post, ""),
        (Method::DeleteCollection, ""),
    ]);
    if !collection.is_empty() {
        paths.insert(
            format!("{scope}/{plural}"),
            writer.item(&collection, own, writer.place()),
        );
    }
    let object = wanted(&[
        (Method::Get, ""),
        (Method::Put, ""),
        (Method::Patch, ""),
        (Method::Delete, ""),
    ]);
    if !object.is_empty() {
        let item = writer.item(&object, own, writer.named_place());
        paths.insert(format!("{scope}/{plural}/{{name}}"), item);
    }
    for subresource in &resource.subresources {
        let item = writer.subresource(subresource);
        paths.insert(format!("{scope}/{plural}/{{name}}/{}", subresource.name), item);
    }
}

/// The kind that an operation reads or writes.
#[derive(Debug, Clone, Copy)]
struct Subject<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
}

/// Writes the operations of one resource.
struct Writer<'d, 'r, 'a> {
    doc: &'d GroupVersionDoc,
    resource: &'d ResourceDoc,
    refs: &'r mut References<'a>,
}

impl<'d> Writer<'d, '_, '_> {
    /// Parameters in the path of a collection.
    fn place(&self) -> &'static [&'static str] {
        if self.resource.namespaced {
            &["namespace"]
        } else {
            &[]
        }
    }

    /// Parameters in the path of an object.
    fn named_place(&self) -> &'static [&'static str] {
        if self.resource.namespaced {
            &["name", "namespace"]
        } else {
            &["name"]
        }
    }

    fn subresource(&mut self, subresource: &'d SubresourceDoc) -> Value {
        let subject = Subject {
            group: &subresource.group,
            version: &subresource.version,
            kind: &subresource.kind,
        };
        let methods = [
            Method::Get,
            Method::Post,
            Method::Put,
            Method::Patch,
            Method::Delete,
        ];
        let wanted: Vec<(Method, &str)> = methods
            .into_iter()
            .filter(|method| subresource.verbs.iter().any(|own| own == verb(*method)))
            .map(|method| (method, subresource.name.as_str()))
            .collect();
        self.item(&wanted, subject, self.named_place())
    }

    /// A path item: operations and the parameters of the path itself.
    fn item(&mut self, methods: &[(Method, &str)], subject: Subject<'_>, place: &[&str]) -> Value {
        let mut item = Map::new();
        for (method, suffix) in methods {
            item.insert(
                http_method(*method).to_owned(),
                self.operation(*method, suffix, subject),
            );
        }
        let mut shared: Vec<Value> = place.iter().map(|name| parameters::path(name)).collect();
        shared.push(parameters::query("pretty"));
        item.insert("parameters".to_owned(), Value::Array(shared));
        Value::Object(item)
    }

    fn operation(&mut self, method: Method, suffix: &str, subject: Subject<'_>) -> Value {
        let mut operation = Map::new();
        let connects = parameters::connects(subject.kind);
        operation.insert(
            "description".into(),
            self.description(method, suffix, connects).into(),
        );
        operation.insert(
            "operationId".into(),
            self.operation_id(method, suffix, connects).into(),
        );
        operation.insert("tags".into(), json!([tag(&self.doc.group, &self.doc.version)]));
        operation.insert(
            "parameters".into(),
            parameters::of_options(subject.kind)
                .unwrap_or_else(|| parameters::of(method))
                .into(),
        );
        if let Some(body) = self.body(method, subject) {
            operation.insert("requestBody".into(), body);
        }
        operation.insert("responses".into(), self.responses(method, subject));
        let action = if connects { "connect" } else { action(method) };
        operation.insert("x-kubernetes-action".into(), action.into());
        let kind = json!({ "group": subject.group, "version": subject.version, "kind": subject.kind });
        operation.insert("x-kubernetes-group-version-kind".into(), kind);
        Value::Object(operation)
    }

    /// What the operation does, in upstream's words.
    fn description(&self, method: Method, suffix: &str, connects: bool) -> String {
        let kind = &self.resource.kind;
        if connects {
            let method = http_method(method).to_uppercase();
            return format!("connect {method} requests to {suffix} of {kind}");
        }
        let of = match suffix {
            "" | "ForAllNamespaces" => String::new(),
            part => format!("{part} of "),
        };
        match method {
            Method::Get => format!("read {of}the specified {kind}"),
            Method::List => format!("list or watch objects of kind {kind}"),
            Method::Post => format!("create {of}a {kind}"),
            Method::Put => format!("replace {of}the specified {kind}"),
            Method::Patch => format!("partially update {of}the specified {kind}"),
            Method::Delete => format!("delete {of}a {kind}"),
            Method::DeleteCollection => format!("delete collection of {kind}"),
        }
    }

    /// Such as `readAppsV1NamespacedDeploymentScale`, `deleteCoreV1CollectionNamespacedPod` and
    /// `connectCoreV1GetNamespacedPodExec`.
    fn operation_id(&self, method: Method, suffix: &str, connects: bool) -> String {
        let (prefix, after_version) = match method {
            Method::Get if connects => ("connect", "Get"),
            Method::Post if connects => ("connect", "Post"),
            Method::Put if connects => ("connect", "Put"),
            Method::Patch if connects => ("connect", "Patch"),
            Method::Delete if connects => ("connect", "Delete"),
            Method::Get => ("read", ""),
            Method::List => ("list", ""),
            Method::Post => ("create", ""),
            Method::Put => ("replace", ""),
            Method::Patch => ("patch", ""),
            Method::Delete => ("delete", ""),
            Method::DeleteCollection => ("delete", "Collection"),
        };
        let everywhere = suffix == "ForAllNamespaces";
        let scope = if self.resource.namespaced && !everywhere {
            "Namespaced"
        } else {
            ""
        };
        let group: String = group_tag(&self.doc.group).split('_').map(capitalised).collect();
        let version = capitalised(&self.doc.version);
        format!(
            "{prefix}{group}{version}{after_version}{scope}{}{}",
            self.resource.kind,
            capitalised(suffix)
        )
    }

    fn body(&mut self, method: Method, subject: Subject<'_>) -> Option<Value> {
        match method {
            Method::Get | Method::List => None,
            _ if parameters::of_options(subject.kind).is_some() => None,
            Method::Post | Method::Put => {
                let schema = self.schema(subject);
                // Upstream says `*/*`, which generated clients take at its word and send as the type of what they write.
                Some(json!({ "content": { JSON: { "schema": schema } }, "required": true }))
            }
            Method::Patch => {
                let schema = self.refs.named("io.k8s.apimachinery.pkg.apis.meta.v1.Patch");
                let entry = json!({ "schema": schema.unwrap_or_else(|| json!({ "type": "object" })) });
                let content: Map<String, Value> = PATCHES
                    .iter()
                    .map(|kind| ((*kind).to_owned(), entry.clone()))
                    .collect();
                Some(json!({ "content": content, "required": true }))
            }
            Method::Delete | Method::DeleteCollection => {
                let schema = self.refs.kind("", "v1", "DeleteOptions")?;
                Some(json!({ "content": { JSON: { "schema": schema } } }))
            }
        }
    }

    fn responses(&mut self, method: Method, subject: Subject<'_>) -> Value {
        if parameters::of_options(subject.kind).is_some() {
            let form = if parameters::connects(subject.kind) {
                "*/*"
            } else {
                "text/plain"
            };
            let text = json!({ "schema": { "type": "string" } });
            return json!({
                "200": { "description": "OK", "content": { form: text } },
                "401": { "description": "Unauthorized" },
            });
        }
        let schema = match method {
            Method::List => {
                let list = format!("{}List", subject.kind);
                self.schema(Subject {
                    kind: &list,
                    ..subject
                })
            }
            Method::Get | Method::Post | Method::Put | Method::Patch => self.schema(subject),
            Method::Delete if self.resource.shows_deleted => self.schema(subject),
            Method::Delete | Method::DeleteCollection => self.schema(Subject {
                group: "",
                version: "v1",
                kind: "Status",
            }),
        };
        let answer = |text: &str| json!({ "description": text, "content": { JSON: { "schema": schema } } });
        let mut responses = Map::new();
        responses.insert("200".into(), answer("OK"));
        match method {
            Method::Post => {
                responses.insert("201".into(), answer("Created"));
                responses.insert("202".into(), answer("Accepted"));
            }
            Method::Put | Method::Patch => drop(responses.insert("201".into(), answer("Created"))),
            Method::Delete => drop(responses.insert("202".into(), answer("Accepted"))),
            Method::Get | Method::List | Method::DeleteCollection => {}
        }
        responses.insert("401".into(), json!({ "description": "Unauthorized" }));
        Value::Object(responses)
    }

    /// A reference to the kind's schema; text for what has none (`PodExecOptions`, logs).
    fn schema(&mut self, subject: Subject<'_>) -> Value {
        let found = self.refs.kind(subject.group, subject.version, subject.kind);
        found.unwrap_or_else(|| json!({ "type": "string" }))
    }
}

/// The API verb that permits a method.
fn verb(method: Method) -> &'static str {
    match method {
        Method::Get => "get",
        Method::List => "list",
        Method::Post => "create",
        Method::Put => "update",
        Method::Patch => "patch",
        Method::Delete => "delete",
        Method::DeleteCollection => "deletecollection",
    }
}

fn http_method(method: Method) -> &'static str {
    match method {
        Method::Get | Method::List => "get",
        Method::Post => "post",
        Method::Put => "put",
        Method::Patch => "patch",
        Method::Delete | Method::DeleteCollection => "delete",
    }
}

fn action(method: Method) -> &'static str {
    match method {
        Method::Get => "get",
        Method::List => "list",
        Method::Post => "post",
        Method::Put => "put",
        Method::Patch => "patch",
        Method::Delete => "delete",
        Method::DeleteCollection => "deletecollection",
    }
}

/// Such as `core_v1` or `rbacAuthorization_v1`.
pub(super) fn tag(group: &str, version: &str) -> String {
    format!("{}_{version}", group_tag(group))
}

fn group_tag(group: &str) -> String {
    let short = group.strip_suffix(".k8s.io").unwrap_or(group);
    let mut parts = short.split('.');
    let first = parts.next().filter(|part| !part.is_empty()).unwrap_or("core");
    parts.fold(first.to_owned(), |tag, part| tag + &capitalised(part))
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}
