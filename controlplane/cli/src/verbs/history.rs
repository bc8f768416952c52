//! `floe history`: who changed an object, when, and what.

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::api::Api;
use super::diff;
use super::output::{Colours, Output, note};
use super::query::{Limits, ask, literal};
use super::target::{Target, resolve};
use super::{Place, Which};

/// Arguments of `history`.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// KIND NAME, KIND NAMESPACE/NAME or KIND/NAME; also of what was deleted.
    #[arg(value_name = "TARGET", required = true)]
    target: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
    /// The newest changes only.
    #[arg(long, value_name = "CHANGES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

/// How `history` prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Changed fields under each change.
    #[default]
    Diff,
    /// A list of changes, each with the whole object after it.
    Json,
}

/// One change of an object.
#[derive(Debug)]
struct Change {
    revision: u64,
    op: String,
    previous: Option<u64>,
    time: Option<String>,
    actor: Option<String>,
    /// The object after it; none where it was deleted.
    object: Option<Value>,
}

pub(super) async fn run(api: &Api, args: &HistoryArgs, out: &mut Output) -> anyhow::Result<()> {
    let targets = resolve(api, &args.target, &[], &args.place, &Which::default()).await?;
    for (at, target) in targets.iter().enumerate() {
        if target.name.is_none() {
            bail!(
                "history is of one object: name it, as in `floe history {} NAME`",
                target.kind.singular
            );
        }
        let mut changes = changes(api, target, args.limit).await?;
        if changes.is_empty() {
            bail!(
                "{} has no history: it does not exist, or was deleted longer ago than history is kept",
                target.shown()
            );
        }
        if args.output == Form::Json {
            out.write(&as_json(&changes)?)?;
            continue;
        }
        if at > 0 {
            out.line("")?;
        }
        show(&mut changes, args.limit, out)?;
    }
    Ok(())
}

/// The newest changes of an object, oldest first; one more than asked for, to compare the oldest with.
async fn changes(api: &Api, target: &Target, limit: u32) -> anyhow::Result<Vec<Change>> {
    let sql = format!(
        "SELECT revision, op, previous_revision, time, actor, value FROM history WHERE key = {} ORDER BY revision DESC",
        literal(&key(target))
    );
    let limits = Limits {
        rows: Some((limit + 1).min(10_000)),
        seconds: Some(30),
    };
    let answer = ask(
        api,
        &sql,
        limits,
        &format!("read the history of {}", target.shown()),
    )
    .await?;
    let mut changes = answer
        .rows
        .iter()
        .map(|row| change(row))
        .collect::<anyhow::Result<Vec<_>>>()?;
    if answer.truncated && changes.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
        note("Its versions are large: older changes than these are left out.");
    }
    changes.reverse();
    Ok(changes)
}

/// Where the server stores it.
fn key(target: &Target) -> String {
    // Events of both groups are stored as those of the core group.
    let group =
        Some(target.kind.group.as_str()).filter(|group| !group.is_empty() && *group != "events.k8s.io");
    let parts = [
        group,
        Some(target.kind.plural.as_str()),
        target.namespace.as_deref(),
        target.name.as_deref(),
    ];
    format!(
        "/registry/{}",
        parts.into_iter().flatten().collect::<Vec<_>>().join("/")
    )
}

fn change(row: &[Value]) -> anyhow::Result<Change> {
    let [revision, op, previous, time, actor, value] = row else {
        bail!("the server's answer has {} columns", row.len())
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let object = value.as_str().map(serde_json::from_str).transpose();
    Ok(Change {
        revision: revision.as_u64().context("a revision is no number")?,
        op: text(op).unwrap_or_default(),
        previous: previous.as_u64(),
        time: text(time),
        actor: text(actor),
        object: object.context("a version is no JSON")?,
    })
}

fn show(changes: &mut Vec<Change>, limit: u32, out: &mut Output) -> anyhow::Result<()> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let older = (changes.len() > most).then(|| changes.remove(0));
    let mut before = older;
    for change in changes.drain(..) {
        out.line(&head(&change, out.colours()))?;
        for line in body(before.as_ref(), &change, out.colours()) {
            out.line(&format!("    {line}"))?;
        }
        before = Some(change);
    }
    Ok(())
}

fn head(change: &Change, colours: Colours) -> String {
    let op = match (change.op.as_str(), change.previous) {
        ("create", _) => "created",
        ("update", _) => "changed",
        ("delete", _) => "deleted",
        (other, _) => other,
    };
    let who = change.actor.as_deref().map(|actor| format!(" by {actor}"));
    let when = change.time.as_deref().unwrap_or("(time unknown)");
    let text = format!(
        "{when} {op}{}  revision {}",
        who.unwrap_or_default(),
        change.revision
    );
    match colours {
        Colours::On => text.bold().to_string(),
        Colours::Off => text,
    }
}

fn body(before: Option<&Change>, change: &Change, colours: Colours) -> Vec<String> {
    let (Some(after), Some(previous)) = (&change.object, change.previous) else {
        return Vec::new();
    };
    let known = before
        .filter(|before| before.revision == previous)
        .and_then(|before| before.object.as_ref());
    match known {
        Some(before) => {
            let lines = diff::lines(before, after, colours);
            if lines.is_empty() {
                vec!["(nothing but bookkeeping)".to_owned()]
            } else {
                lines
            }
        }
        None => vec!["(the version before is no longer kept)".to_owned()],
    }
}

fn as_json(changes: &[Change]) -> anyhow::Result<String> {
    let shown = |change: &Change| {
        json!({
            "revision": change.revision, "op": change.op, "previousRevision": change.previous,
            "time": change.time, "actor": change.actor, "object": change.object,
        })
    };
    let changes: Vec<Value> = changes.iter().map(shown).collect();
    Ok(format!("{}\n", serde_json::to_string_pretty(&changes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(revision: u64, op: &str, previous: Option<u64>, replicas: Option<u32>) -> Vec<Value> {
        let value = replicas.map(|replicas| json!({"spec": {"replicas": replicas}}).to_string());
        vec![
            json!(revision),
            json!(op),
            json!(previous),
            json!("2026-01-02T03:04:05Z"),
            json!("alice"),
            json!(value),
        ]
    }

    #[test]
    fn a_history_reads_as_sentences_with_what_changed() {
        let rows = [
            row(2, "create", None, Some(1)),
            row(5, "update", Some(2), Some(3)),
            row(6, "delete", Some(5), None),
            row(9, "update", Some(7), Some(1)),
        ];
        let mut changes: Vec<Change> = rows.iter().map(|row| change(row).unwrap()).collect();
        let mut before = None;
        let mut text = Vec::new();
        for change in changes.drain(..) {
            text.push(head(&change, Colours::Off));
            text.extend(body(before.as_ref(), &change, Colours::Off));
            before = Some(change);
        }
        assert_eq!(
            text,
            [
                "2026-01-02T03:04:05Z created by alice  revision 2",
                "2026-01-02T03:04:05Z changed by alice  revision 5",
                "  spec.replicas: 1 -> 3",
                "2026-01-02T03:04:05Z deleted by alice  revision 6",
                "2026-01-02T03:04:05Z changed by alice  revision 9",
                "(the version before is no longer kept)",
            ]
        );
    }

    #[test]
    fn an_object_is_looked_up_where_the_server_stores_it() {
        let some = super::super::kinds::tests::some();
        let of = |kind: &str, namespace: Option<&str>| {
            let kind = (*some.find(kind).unwrap().first().unwrap()).clone();
            key(&Target {
                kind,
                namespace: namespace.map(str::to_owned),
                name: Some("x".to_owned()),
            })
        };
        assert_eq!(of("pod", Some("a")), "/registry/pods/a/x");
        assert_eq!(of("node", None), "/registry/nodes/x");
    }
}
