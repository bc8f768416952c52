use std::time::Duration;

use anyhow::bail;
use controlplane_api::codec;
use futures::StreamExt;
use kube::core::WatchEvent;
use serde_json::{Value, json};

use super::api::{Api, Attempt, query, sentence};
use super::output::{Output, note};
use super::past::Then;
use super::table::{Printer, Show, of_objects};
use super::target::{Target, resolve};
use super::{Format, GetArgs};
use crate::progress;

/// Objects asked for at once.
const PAGE: &str = "500";
/// Pause before a watch that the server ended is begun again.
const PAUSE: Duration = Duration::from_millis(500);

pub(super) async fn run(api: &Api, args: &GetArgs, out: &mut Output) -> anyhow::Result<()> {
    let targets = resolve(api, &args.target, &args.file, &args.place, &args.which).await?;
    let selector = args.which.selector.as_deref();
    if args.watch {
        let [target] = targets.as_slice() else {
            bail!("--watch shows one kind or one object: name it")
        };
        return Watcher {
            api,
            target,
            selector,
            args,
        }
        .run(out)
        .await;
    }
    let at = match args.at {
        Some(moment) => Some(moment.revision(api, progress::moment()).await?),
        None => None,
    };
    let reading = Reading { api, args, at };
    match args.output {
        Format::Table | Format::Wide => reading.tables(&targets, out).await,
        Format::Json | Format::Yaml | Format::Name => reading.objects(&targets, out).await,
    }
}

/// What is read, and at which revision of the past, if at one.
struct Reading<'a> {
    api: &'a Api,
    args: &'a GetArgs,
    at: Option<u64>,
}

impl Reading<'_> {
    fn then<'a>(&'a self, target: &'a Target) -> Option<Then<'a>> {
        let selector = self.args.which.selector.as_deref();
        self.at.map(|revision| Then {
            target,
            selector,
            revision,
        })
    }

    async fn table(&self, target: &Target) -> anyhow::Result<Value> {
        match self.then(target) {
            Some(then) => then.table(self.api).await,
            None => table(self.api, target, self.args.which.selector.as_deref()).await,
        }
    }

    async fn list(&self, target: &Target) -> anyhow::Result<Vec<Value>> {
        let Some(then) = self.then(target) else {
            return list(self.api, target, self.args.which.selector.as_deref()).await;
        };
        let found = items(then.list(self.api).await?);
        Ok(found.into_iter().map(|object| typed(object, target)).collect())
    }

    async fn tables(&self, targets: &[Target], out: &mut Output) -> anyhow::Result<()> {
        let many = targets
            .iter()
            .any(|target| target.kind != targets.first().map_or(target, |first| first).kind);
        let mut shown = 0;
        let mut printer: Option<(&Target, Printer)> = None;
        for target in targets {
            let table = self.table(target).await?;
            if rows(&table) == 0 {
                continue;
            }
            shown += rows(&table);
            // Objects of one kind that were named one by one share a table.
            let text = match &mut printer {
                Some((first, printer)) if first.kind == target.kind => printer.print(&table, out.colours()),
                earlier => {
                    let gap = if earlier.is_some() { "\n" } else { "" };
                    let mut fresh = Printer::new(show(self.args, target), many.then(|| target.kind.label()));
                    let text = format!("{gap}{}", fresh.print(&table, out.colours()));
                    *earlier = Some((target, fresh));
                    text
                }
            };
            out.write(&text)?;
        }
        if shown == 0 {
            none_found(targets);
        }
        Ok(())
    }

    async fn objects(&self, targets: &[Target], out: &mut Output) -> anyhow::Result<()> {
        let mut found = Vec::new();
        for target in targets {
            let objects = self.list(target).await?;
            found.extend(objects.into_iter().map(|object| (target, object)));
        }
        if self.args.output == Format::Name {
            let lines = found
                .iter()
                .map(|(target, object)| format!("{}/{}\n", target.kind.label(), name(object)));
            return out.write(&lines.collect::<String>());
        }
        let single = matches!(targets, [target] if target.name.is_some());
        let mut objects: Vec<Value> = found.into_iter().map(|(_, object)| object).collect();
        let whole = match objects.pop() {
            Some(object) if single => object,
            last => {
                objects.extend(last);
                json!({"apiVersion": "v1", "kind": "List", "items": objects})
            }
        };
        out.write(&whole_text(&whole, self.args.output)?)
    }
}

fn none_found(targets: &[Target]) {
    match targets.first().and_then(|target| target.namespace.as_deref()) {
        Some(namespace) => note(&format!("No resources found in {namespace} namespace.")),
        None => note("No resources found"),
    }
}

fn show(args: &GetArgs, target: &Target) -> Show {
    let namespaces = args.which.all_namespaces && target.kind.namespaced;
    Show {
        wide: args.output == Format::Wide,
        namespaces,
    }
}

fn rows(table: &Value) -> usize {
    table.get("rows").and_then(Value::as_array).map_or(0, Vec::len)
}

/// The table of a target, all pages of it.
async fn table(api: &Api, target: &Target, selector: Option<&str>) -> anyhow::Result<Value> {
    if target.name.is_some() {
        let answer = api
            .table(&target.path())
            .await
            .attempt(|| format!("get {}", target.shown()))?;
        return Ok(if is_table(&answer) {
            answer
        } else {
            of_objects(&[answer])
        });
    }
    let mut whole: Option<Value> = None;
    let mut token: Option<String> = None;
    loop {
        let path = list_path(target, selector, token.as_deref());
        let mut page = api
            .table(&path)
            .await
            .attempt(|| format!("list {}", target.kind.plural))?;
        token = continuation(&page);
        if !is_table(&page) {
            page = of_objects(&items(page));
        }
        match whole
            .as_mut()
            .and_then(|whole| whole.get_mut("rows"))
            .and_then(Value::as_array_mut)
        {
            Some(rows) => rows.extend(
                page.get_mut("rows")
                    .map(Value::take)
                    .into_iter()
                    .flat_map(into_array),
            ),
            None => whole = Some(page),
        }
        if token.is_none() {
            return Ok(whole.unwrap_or_default());
        }
    }
}

fn is_table(answer: &Value) -> bool {
    answer.get("kind").and_then(Value::as_str) == Some("Table")
}

fn into_array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list,
        _ => Vec::new(),
    }
}

fn items(mut list: Value) -> Vec<Value> {
    list.get_mut("items")
        .map(Value::take)
        .map(into_array)
        .unwrap_or_default()
}

fn continuation(list: &Value) -> Option<String> {
    let token = list.pointer("/metadata/continue").and_then(Value::as_str)?;
    (!token.is_empty()).then(|| token.to_owned())
}

fn list_path(target: &Target, selector: Option<&str>, token: Option<&str>) -> String {
    query(
        &target.path(),
        &[
            ("limit", Some(PAGE)),
            ("labelSelector", selector),
            ("continue", token),
        ],
    )
}

/// The objects of a target, whole, all pages of them.
pub(super) async fn list(api: &Api, target: &Target, selector: Option<&str>) -> anyhow::Result<Vec<Value>> {
    if target.name.is_some() {
        return Ok(vec![
            api.get(&target.path())
                .await
                .attempt(|| format!("get {}", target.shown()))?,
        ]);
    }
    let (mut objects, mut token) = (Vec::new(), None::<String>);
    loop {
        let path = list_path(target, selector, token.as_deref());
        let page = api
            .get(&path)
            .await
            .attempt(|| format!("list {}", target.kind.plural))?;
        token = continuation(&page);
        objects.extend(items(page).into_iter().map(|object| typed(object, target)));
        if token.is_none() {
            return Ok(objects);
        }
    }
}

/// Items of lists may come without their type.
fn typed(mut object: Value, target: &Target) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields
            .entry("apiVersion")
            .or_insert_with(|| json!(target.kind.api_version()));
        fields.entry("kind").or_insert_with(|| json!(target.kind.kind));
    }
    object
}

fn name(object: &Value) -> &str {
    object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn whole_text(object: &Value, format: Format) -> anyhow::Result<String> {
    if format == Format::Json {
        return Ok(format!("{}\n", serde_json::to_string_pretty(object)?));
    }
    Ok(codec::to_yaml(object))
}

/// `get --watch`.
struct Watcher<'a> {
    api: &'a Api,
    target: &'a Target,
    selector: Option<&'a str>,
    args: &'a GetArgs,
}

impl Watcher<'_> {
    /// Shows what is there and then every change, until the user stops it. A watch that the server ends is begun
    /// again where it was; one that is too old, from a new list.
    async fn run(&self, out: &mut Output) -> anyhow::Result<()> {
        let mut printer = Printer::new(show(self.args, self.target), None);
        let field = self
            .target
            .name
            .as_deref()
            .map(|name| format!("metadata.name={name}"));
        let all = Target {
            name: None,
            ..self.target.clone()
        };
        loop {
            let start = query(
                &all.path(),
                &[
                    ("labelSelector", self.selector),
                    ("fieldSelector", field.as_deref()),
                ],
            );
            let first = self
                .api
                .table(&start)
                .await
                .attempt(|| format!("list {}", all.kind.plural))?;
            let mut revision = revision_of(&first);
            self.show_first(&first, &mut printer, out).await?;
            while let Some(at) = &revision {
                let parameters = [
                    ("watch", Some("true")),
                    ("allowWatchBookmarks", Some("true")),
                    ("resourceVersion", Some(at.as_str())),
                    ("labelSelector", self.selector),
                    ("fieldSelector", field.as_deref()),
                ];
                revision = self
                    .follow(&query(&all.path(), &parameters), at, &mut printer, out)
                    .await?;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn show_first(&self, first: &Value, printer: &mut Printer, out: &mut Output) -> anyhow::Result<()> {
        if self.is_table() {
            if rows(first) > 0 {
                out.write(&printer.print(first, out.colours()))?;
            }
            return Ok(());
        }
        for object in list(self.api, self.target, self.selector).await? {
            out.write(&self.whole(&object)?)?;
        }
        Ok(())
    }

    /// Shows changes until the watch ends; returns where to go on, or none where a new list is needed.
    async fn follow(
        &self,
        path: &str,
        from: &str,
        printer: &mut Printer,
        out: &mut Output,
    ) -> anyhow::Result<Option<String>> {
        let mut events = self
            .api
            .watch(path, self.is_table())
            .await
            .attempt(|| format!("watch {}", self.target.kind.plural))?;
        let mut reached = from.to_owned();
        while let Some(event) = events.next().await {
            match event {
                Ok(
                    WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object),
                ) => {
                    reached = revision_of_change(&object).unwrap_or(reached);
                    let text = if self.is_table() {
                        printer.print(&object, out.colours())
                    } else {
                        self.whole(&object)?
                    };
                    out.write(&text)?;
                }
                Ok(WatchEvent::Bookmark(bookmark)) => reached = bookmark.metadata.resource_version,
                Ok(WatchEvent::Error(status)) if status.code == 410 => return Ok(None),
                Ok(WatchEvent::Error(status)) => return Err(sentence(kube::Error::Api(status))),
                // A connection that broke is begun again.
                Err(_) => break,
            }
        }
        Ok(Some(reached))
    }

    fn is_table(&self) -> bool {
        matches!(self.args.output, Format::Table | Format::Wide)
    }

    fn whole(&self, object: &Value) -> anyhow::Result<String> {
        match self.args.output {
            Format::Name => Ok(format!("{}/{}\n", self.target.kind.label(), name(object))),
            Format::Yaml => Ok(format!("---\n{}", whole_text(object, Format::Yaml)?)),
            format => whole_text(object, format),
        }
    }
}

fn revision_of(object: &Value) -> Option<String> {
    object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

/// Of an object, or of the object in a table's row.
fn revision_of_change(change: &Value) -> Option<String> {
    let in_row = change.pointer("/rows/0/object").and_then(revision_of);
    in_row
        .or_else(|| revision_of(change))
        .filter(|revision| !revision.is_empty())
}
