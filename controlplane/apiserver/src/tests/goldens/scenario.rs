//! What is asked of a kind when its golden is written.

use controlplane_api::{Resource, Scope, Verb};
use serde_json::{Value, json};

use super::{Asker, Exchange, corpus};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";

/// The exchanges of one kind, in order.
pub(super) async fn of(resource: &Resource) -> Vec<Exchange> {
    let mut story = Story::of(resource).await;
    let Some(objects) = corpus::of(resource) else {
        story.questions().await;
        return story.asker.asked;
    };
    let full = story.fullest(&objects).await;
    let name = objects.base["metadata"]["name"]
        .as_str()
        .unwrap_or("golden")
        .to_owned();
    story.object = format!("{}/{name}", story.collection);
    story.created(&objects.base).await;
    story.read(&name).await;
    story.written(&objects.base).await;
    story.subresources().await;
    story.removed().await;
    story.filled(&full).await;
    story.asker.asked
}

/// A kind, where its objects are, and what was asked of them.
struct Story<'a> {
    resource: &'a Resource,
    collection: String,
    object: String,
    asker: Asker,
}

impl<'a> Story<'a> {
    async fn of(resource: &'a Resource) -> Self {
        let api = match (&*resource.group, &*resource.version) {
            ("", version) => format!("/api/{version}"),
            (group, version) => format!("/apis/{group}/{version}"),
        };
        let collection = match resource.scope {
            Scope::Namespaced => format!("{api}/namespaces/default/{}", resource.plural),
            Scope::Cluster => format!("{api}/{}", resource.plural),
        };
        let (object, asker) = (String::new(), Asker::start().await);
        Self {
            resource,
            collection,
            object,
            asker,
        }
    }

    /// Asks, where the kind has `verb`, and returns the code.
    async fn ask(&mut self, verb: Verb, claim: &str, request: String, body: (&str, Value)) -> Option<u16> {
        self.ask_as(verb, claim, request, body, None).await
    }

    async fn ask_as(
        &mut self,
        verb: Verb,
        claim: &str,
        request: String,
        (kind, body): (&str, Value),
        accept: Option<&str>,
    ) -> Option<u16> {
        if !self.resource.verbs.contains(&verb) {
            return None;
        }
        let exchange = Exchange {
            claim: claim.to_owned(),
            request,
            content_type: (!kind.is_empty()).then(|| format!("application/{kind}")),
            accept: accept.map(str::to_owned),
            body,
            code: 0,
            answer: Value::Null,
        };
        Some(self.asker.ask(exchange).await.code)
    }

    /// Kinds that are asked and never stored.
    async fn questions(&mut self) {
        let body = json!({"apiVersion": self.resource.api_version(), "kind": self.resource.kind, "spec": {}});
        let (create, list) = (
            format!("POST {}", self.collection),
            format!("GET {}", self.collection),
        );
        self.ask(Verb::Create, "asked with nothing", create, ("json", body))
            .await;
        self.ask(Verb::List, "lists", list, ("", Value::Null)).await;
    }

    /// The base with every change of the corpus that the server takes on top of those before.
    async fn fullest(&mut self, objects: &corpus::Objects) -> Value {
        let mut full = objects.base.clone();
        let dry = format!("{}?dryRun=All", self.collection);
        for change in &objects.changes {
            let Some(more) = corpus::changed(&full, change) else {
                continue;
            };
            let grows = more.to_string().len() > full.to_string().len();
            if grows && self.asker.api.post(&dry, &more).await.code == 201 {
                full = more;
            }
        }
        full
    }

    async fn created(&mut self, base: &Value) {
        let request = format!("POST {}", self.collection);
        self.ask(
            Verb::Create,
            "is created",
            request.clone(),
            ("json", base.clone()),
        )
        .await;
        self.ask(
            Verb::Create,
            "is not created twice",
            request,
            ("json", base.clone()),
        )
        .await;
        let request = format!("POST {}?fieldValidation=Strict", self.collection);
        let mut unknown = base.clone();
        unknown["metadata"]["name"] = json!("unknown");
        unknown["unknownField"] = json!(1);
        self.ask(Verb::Create, "has no unknown fields", request, ("json", unknown))
            .await;
    }

    async fn read(&mut self, name: &str) {
        let get = format!("GET {}", self.object);
        let list = format!("GET {}?fieldSelector=metadata.name%3D{name}", self.collection);
        let none = || ("", Value::Null);
        self.ask(Verb::Get, "is read", get.clone(), none()).await;
        self.ask_as(Verb::Get, "is shown as a table", get.clone(), none(), Some(TABLE))
            .await;
        self.ask_as(Verb::Get, "is shown by its metadata", get, none(), Some(METADATA))
            .await;
        self.ask(Verb::List, "is listed", list, none()).await;
        let absent = format!("GET {}/absent", self.collection);
        self.ask(Verb::Get, "is not there by another name", absent, none())
            .await;
    }

    async fn written(&mut self, base: &Value) {
        let put = format!("PUT {}", self.object);
        let mut object = base.clone();
        object["metadata"]["labels"] = json!({"updated": "yes"});
        object["metadata"]["resourceVersion"] = json!("1");
        self.ask(
            Verb::Update,
            "is not updated at another revision",
            put.clone(),
            ("json", object.clone()),
        )
        .await;
        object["metadata"]["resourceVersion"] = json!("(revision)");
        self.ask(Verb::Update, "is updated", put, ("json", object)).await;
        let patch = format!("PATCH {}", self.object);
        let merge = json!({"metadata": {"labels": {"updated": null, "merged": "yes"}}});
        self.ask(
            Verb::Patch,
            "is patched by a merge",
            patch.clone(),
            ("merge-patch+json", merge),
        )
        .await;
        let json_patch = json!([{"op": "add", "path": "/metadata/labels/patched", "value": "yes"}]);
        self.ask(
            Verb::Patch,
            "is patched by operations",
            patch.clone(),
            ("json-patch+json", json_patch),
        )
        .await;
        let strategic = json!({"metadata": {"labels": {"$retainKeys": ["patched"], "patched": "yes"}}});
        self.ask(
            Verb::Patch,
            "is patched strategically",
            patch,
            ("strategic-merge-patch+json", strategic),
        )
        .await;
        let apply = format!("PATCH {}?fieldManager=golden", self.object);
        let applied = json!({
            "apiVersion": self.resource.api_version(), "kind": self.resource.kind,
            "metadata": {"labels": {"applied": "yes"}},
        });
        self.ask(Verb::Patch, "is applied", apply, ("apply-patch+yaml", applied))
            .await;
    }

    async fn subresources(&mut self) {
        for part in &self.resource.subresources {
            let path = format!("{}/{}", self.object, part.name);
            if part.verbs.contains(&Verb::Get) && matches!(&*part.name, "status" | "scale") {
                self.ask(
                    Verb::Get,
                    &format!("has {}", part.name),
                    format!("GET {path}"),
                    ("", Value::Null),
                )
                .await;
            }
            if part.verbs.contains(&Verb::Patch) && part.name == "scale" {
                let body = ("merge-patch+json", json!({"spec": {"replicas": 3}}));
                self.ask(Verb::Patch, "is scaled", format!("PATCH {path}"), body)
                    .await;
            }
            if part.verbs.contains(&Verb::Patch) && part.name == "status" {
                let body = json!({"metadata": {"labels": {"status": "no"}, "annotations": {"status": "yes"}}, "spec": {"none": 1}});
                let claim = "keeps its labels when its status is patched";
                self.ask(
                    Verb::Patch,
                    claim,
                    format!("PATCH {path}"),
                    ("merge-patch+json", body),
                )
                .await;
            }
        }
    }

    async fn removed(&mut self) {
        let delete = format!("DELETE {}", self.object);
        let stale = json!({"preconditions": {"uid": "another"}});
        self.ask(
            Verb::Delete,
            "is not deleted as another",
            delete.clone(),
            ("json", stale),
        )
        .await;
        let dry = format!("{delete}?dryRun=All");
        self.ask(Verb::Delete, "is deleted for show", dry, ("", Value::Null))
            .await;
        self.ask(Verb::Delete, "is deleted", delete, ("", Value::Null))
            .await;
        self.ask(
            Verb::Get,
            "is gone",
            format!("GET {}", self.object),
            ("", Value::Null),
        )
        .await;
    }

    async fn filled(&mut self, full: &Value) {
        let mut full = full.clone();
        // A namespace is there until its controller has emptied it.
        if self.asker.api.get(&self.object).await.code == 200 {
            full["metadata"]["name"] = json!("full");
        }
        self.ask(
            Verb::Create,
            "is created with much in it",
            format!("POST {}", self.collection),
            ("json", full.clone()),
        )
        .await;
        let name = full["metadata"]["name"].as_str().unwrap_or_default();
        let list = format!("{}?fieldSelector=metadata.name%3D{name}", self.collection);
        self.ask_as(
            Verb::List,
            "is listed as a table",
            format!("GET {list}"),
            ("", Value::Null),
            Some(TABLE),
        )
        .await;
        let claim = "is deleted with others";
        self.ask(
            Verb::DeleteCollection,
            claim,
            format!("DELETE {list}"),
            ("", Value::Null),
        )
        .await;
    }
}
