//! `floe server snapshot`.

use std::path::Path;

use anyhow::Context;
use controlplane_store_sqlite::{Inspection, Share, SqliteState};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::progress::bytes;
use crate::verbs::{Output, Show, TablePrinter};

/// How an inspection is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// Lines and a table.
    #[default]
    Table,
    /// One object.
    Json,
}

/// Prints what is in `file`.
pub(crate) fn inspect(file: &Path, form: Form) -> anyhow::Result<()> {
    let found =
        controlplane_store_sqlite::inspect(file).with_context(|| format!("inspect {}", file.display()))?;
    let mut out = Output::stdout();
    match form {
        Form::Json => out.write(&format!("{}\n", serde_json::to_string_pretty(&as_json(&found))?)),
        Form::Table => {
            let text =
                head(&found) + &TablePrinter::new(Show::default(), None).print(&table(&found), out.colours());
            out.write(&text)
        }
    }
}

/// Takes the file one schema version back.
pub(crate) fn downgrade(file: &Path) -> anyhow::Result<()> {
    SqliteState::downgrade(file).with_context(|| format!("take {} one version back", file.display()))?;
    Output::stdout().line(&format!(
        "{} is now what the release before reads",
        file.display()
    ))
}

fn head(found: &Inspection) -> String {
    let total = total(found);
    let lines = [
        ("Cluster", found.cluster_id.clone()),
        ("Revision", found.revision.to_string()),
        ("Time", time(found.time)),
        (
            "History since",
            match found.oldest_time {
                0 => "the beginning".to_owned(),
                since => format!("revision {}, {}", found.oldest_revision, time(since)),
            },
        ),
        (
            "File",
            format!("{}, schema version {}", bytes(found.file_bytes), found.schema),
        ),
        (
            "Integrity",
            format!(
                "good: {} rows match their checksums",
                total.objects + total.versions
            ),
        ),
    ];
    lines
        .into_iter()
        .map(|(name, value)| format!("{:<15}{value}\n", format!("{name}:")))
        .collect::<String>()
        + "\n"
}

fn time(seconds: u64) -> String {
    let known = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    known
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| "time unknown".to_owned(), |time| time.to_string())
}

fn total(found: &Inspection) -> Share {
    found
        .resources
        .values()
        .fold(Share::default(), |sum, share| Share {
            objects: sum.objects + share.objects,
            bytes: sum.bytes + share.bytes,
            versions: sum.versions + share.versions,
            version_bytes: sum.version_bytes + share.version_bytes,
        })
}

/// A row for each resource, the largest first.
fn table(found: &Inspection) -> Value {
    let mut shares: Vec<(&str, Share)> = found
        .resources
        .iter()
        .map(|(name, share)| (name.as_str(), *share))
        .collect();
    shares.sort_by_key(|(_, share)| std::cmp::Reverse(share.bytes + share.version_bytes));
    shares.push(("TOTAL", total(found)));
    let columns =
        ["Resource", "Objects", "Size", "Old versions", "Their size"].map(|name| json!({"name": name}));
    let rows: Vec<Value> = shares
        .into_iter()
        .map(|(name, share)| {
            json!({"cells": [name, share.objects, bytes(share.bytes), share.versions, bytes(share.version_bytes)]})
        })
        .collect();
    json!({"kind": "Table", "columnDefinitions": columns, "rows": rows})
}

fn as_json(found: &Inspection) -> Value {
    let share = |share: &Share| {
        json!({
            "objects": share.objects, "bytes": share.bytes,
            "oldVersions": share.versions, "oldVersionBytes": share.version_bytes,
        })
    };
    let resources: serde_json::Map<String, Value> = found
        .resources
        .iter()
        .map(|(name, found)| (name.clone(), share(found)))
        .collect();
    json!({
        "clusterId": found.cluster_id, "revision": found.revision, "time": found.time,
        "oldestRevision": found.oldest_revision, "oldestTime": found.oldest_time,
        "schemaVersion": found.schema, "fileBytes": found.file_bytes, "resources": resources,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inspection_names_the_largest_first_and_adds_up() {
        let share = |objects, bytes| Share {
            objects,
            bytes,
            versions: 1,
            version_bytes: 10,
        };
        let found = Inspection {
            cluster_id: "the-cluster".to_owned(),
            revision: 7,
            time: 1_700_000_000,
            oldest_revision: 1,
            oldest_time: 0,
            schema: 2,
            file_bytes: 5 << 20,
            resources: [
                ("pods".to_owned(), share(3, 5000)),
                ("secrets".to_owned(), share(1, 90_000)),
            ]
            .into(),
        };
        let head = head(&found);
        assert!(head.contains("Time:          2023-11-14T22:13:20Z\n"), "{head}");
        assert!(
            head.contains("Integrity:     good: 6 rows match their checksums\n"),
            "{head}"
        );
        let table = table(&found);
        let names: Vec<&Value> = (0..3).map(|row| &table["rows"][row]["cells"][0]).collect();
        assert_eq!(names, ["secrets", "pods", "TOTAL"]);
        assert_eq!(table["rows"][2]["cells"][1], 4);
    }
}
