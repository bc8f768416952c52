//! Backups, history and questions in SQL, of a cluster that works.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests_harness::{Cluster, Kubectl, Namespace, eventually};

/// The config map of these tests, with `text` in it.
fn settings(text: &str) -> String {
    format!(
        "{{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {{\"name\": \"settings\"}}, \"data\": {{\"text\": \"{text}\"}}}}"
    )
}

/// What `floe get … --at` shows of the text.
fn text_at(cluster: &Cluster, ns: &Namespace, at: &str) -> Result<String> {
    let words = [
        "get",
        "configmap",
        "settings",
        "-n",
        ns.name(),
        "-o",
        "json",
        "--at",
        at,
    ];
    let object: Value = serde_json::from_str(&cluster.succeed(&words)?)?;
    Ok(object["data"]["text"].as_str().unwrap_or_default().to_owned())
}

fn revision(ns: &Namespace) -> Result<String> {
    let object = ns.get("configmap", "settings")?;
    let version = object["metadata"]["resourceVersion"].as_str();
    Ok(version.context("the object has no version")?.to_owned())
}

pub(crate) fn history(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("past")?;
    ns.apply(&settings("one"))?;
    let first = revision(&ns)?;
    ns.apply(&settings("two"))?;
    ns.succeed(&["delete", "configmap", "settings"])?;
    let shown = cluster.succeed(&["history", "configmap", "settings", "-n", ns.name()])?;
    for expected in [
        " created by kubernetes-admin",
        " changed by kubernetes-admin",
        "      data.text: one -> two\n",
        " deleted by kubernetes-admin",
        &format!("revision {first}\n"),
    ] {
        ensure!(shown.contains(expected), "{expected:?} is missing: {shown}");
    }
    ensure!(text_at(cluster, &ns, &first)? == "one", "the past is another");
    let table = cluster.succeed(&["get", "configmaps", "-n", ns.name(), "--at", &first])?;
    ensure!(table.contains("settings"), "{table}");
    let csv = cluster.succeed(&[
        "sql",
        "-o",
        "csv",
        "SELECT op, value ->> '$.data.text' AS text FROM history WHERE namespace = 'past' AND name = 'settings' ORDER BY revision",
    ])?;
    ensure!(
        csv == "op,text\r\ncreate,one\r\nupdate,two\r\ndelete,\r\n",
        "{csv:?}"
    );
    let events = cluster.succeed(&["sql", "SELECT count(*) AS n FROM events"])?;
    ensure!(events.starts_with("N\n"), "{events}");
    wrong_input(cluster, &ns)
}

fn wrong_input(cluster: &Cluster, ns: &Namespace) -> Result<()> {
    for (words, expected) in [
        (&["sql", "SELEC 1"][..], "near \"SELEC\": syntax error"),
        (
            &["sql", "DELETE FROM objects"],
            "cannot modify objects because it is a view",
        ),
        (
            &["sql", "SELECT * FROM current"],
            "it reads objects, history, events, store only",
        ),
        (&["history", "configmap", "never-was"], "has no history"),
        (&["history", "configmaps"], "history is of one object"),
        (
            &["get", "pods", "--at", "yesterday"],
            "must be a revision such as 1234",
        ),
        (&["get", "pods", "--at", "999999999"], "the newest is revision"),
        (
            &["get", "pods", "--at", "1999-01-01T00:00:00Z", "-A"],
            "as of revision 1",
        ),
        (
            &["get", "configmap", "settings", "-n", ns.name(), "--at", "2"],
            "it did not exist then",
        ),
        (
            &["server", "snapshot", "inspect", "/etc/passwd"],
            "not a database",
        ),
        (
            &["restore", "/no/such.db", "--into", "/tmp/floe-no-such"],
            "/no/such.db is no file",
        ),
    ] {
        let done = cluster.run(words)?;
        // Nothing existed in the beginning, which is no error for a list.
        let is_empty = words.contains(&"1999-01-01T00:00:00Z");
        ensure!(
            is_empty || (done.code != 0 && done.output.contains(expected)),
            "{words:?}: {}",
            done.output
        );
    }
    Ok(())
}

pub(crate) fn backup_and_restore(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("kept")?;
    ns.apply(&settings("one"))?;
    let first = revision(&ns)?;
    ns.apply(&settings("two"))?;
    let file = cluster.scratch().join("backup.db");
    let path = file.to_str().context("the scratch folder is text")?;
    let said = cluster.succeed(&["backup", path])?;
    ensure!(said.contains("objects of cluster"), "{said}");
    let again = cluster.run(&["backup", path])?;
    ensure!(
        again.code != 0 && again.output.contains("exists"),
        "{}",
        again.output
    );
    let inside = cluster.succeed(&["server", "snapshot", "inspect", path])?;
    ensure!(
        inside.contains("configmaps") && inside.contains("match their checksums"),
        "{inside}"
    );
    let sql =
        "SELECT op, actor FROM history WHERE namespace = 'kept' AND name = 'settings' ORDER BY revision";
    let rows = sqlite(&file, sql)?;
    ensure!(
        rows == "create|kubernetes-admin\nupdate|kubernetes-admin\n",
        "{rows:?}"
    );
    ensure!(
        sqlite(&file, "PRAGMA integrity_check")? == "ok\n",
        "sqlite3 finds fault"
    );
    restored(cluster, path)?;
    point_in_time(cluster, path, &first)
}

/// A second cluster from the backup: it has the objects, and goes on.
fn restored(cluster: &Cluster, path: &str) -> Result<()> {
    let second = Cluster::up("t-restored", &["--no-demo", "--restore", path])?;
    let kubectl = Kubectl::new(&second.kubeconfig())?;
    let found = kubectl.succeed(&["get", "configmap", "settings", "-n", "kept", "-o", "json"])?;
    let found: Value = serde_json::from_str(&found)?;
    ensure!(found["data"]["text"] == "two", "{found}");
    let id = |cluster: &Cluster| cluster.succeed(&["sql", "-o", "csv", "SELECT cluster_id FROM store"]);
    ensure!(id(&second)? != id(cluster)?, "both clusters have one identity");
    let shown = second.succeed(&["history", "configmap", "settings", "-n", "kept"])?;
    ensure!(shown.contains("data.text: one -> two"), "{shown}");
    eventually("the restored cluster to run what it is given", || {
        kubectl
            .succeed(&["get", "serviceaccount", "default", "-n", "kept"])
            .map(drop)
    })?;
    kubectl
        .succeed(&["create", "configmap", "later", "-n", "kept"])
        .map(drop)
}

/// The state at a revision within the backup's history.
fn point_in_time(cluster: &Cluster, path: &str, revision: &str) -> Result<()> {
    let into = cluster.scratch().join("older");
    let folder = into.to_str().context("the scratch folder is text")?;
    let said = cluster.succeed(&["restore", path, "--into", folder, "--at", revision])?;
    ensure!(said.contains(&format!("as of revision {revision}")), "{said}");
    let sql = "SELECT value ->> '$.data.text' FROM objects WHERE namespace = 'kept' AND name = 'settings'";
    let text = sqlite(&into.join("store.db"), sql)?;
    ensure!(text == "one\n", "{text:?}");
    let again = cluster.run(&["restore", path, "--into", folder])?;
    ensure!(
        again.code != 0 && again.output.contains("store.db exists"),
        "{}",
        again.output
    );
    Ok(())
}

/// What Debian's `sqlite3` shows, a program that knows nothing of us.
fn sqlite(file: &Path, sql: &str) -> Result<String> {
    let done = Command::new("sqlite3")
        .arg(file)
        .arg(sql)
        .output()
        .context("run sqlite3")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}
