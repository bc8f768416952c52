//! Volumes whose objects change while a pod runs, and sub paths that the pod's own fields decide.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests_harness::{BUSYBOX, Cluster, Namespace, eventually};

/// A pod with one container that runs `script`, and volumes by name at `/name`.
fn mounting(name: &str, script: &str, volumes: &[(String, Value)]) -> Value {
    let mounts = volumes
        .iter()
        .map(|(name, _)| json!({ "name": name, "mountPath": format!("/{name}") }));
    let volumes = volumes.iter().map(|(name, source)| {
        let mut volume = source.clone();
        volume["name"] = name.as_str().into();
        volume
    });
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "key1": "value1", "key2": "value2" }, "annotations": { "builder": "bar" } },
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": BUSYBOX, "command": ["/bin/sh", "-c", script],
                "volumeMounts": mounts.collect::<Vec<_>>(),
            }],
            "volumes": volumes.collect::<Vec<_>>(),
        },
    })
}

fn config_map(name: &str, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "data-1": value } })
}

fn secret(name: &str, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name }, "stringData": { "data-1": value } })
}

fn apply(ns: &Namespace, objects: &[Value]) -> Result<()> {
    let documents: Vec<String> = objects.iter().map(Value::to_string).collect();
    ns.apply(&documents.join("\n---\n")).map(drop)
}

/// Optional volumes of every kind, of objects named for what becomes of them.
fn all_kinds() -> Vec<(String, Value)> {
    let mut volumes = Vec::new();
    for fate in ["changes", "goes", "comes"] {
        let projected = |source: Value| json!({ "projected": { "sources": [source] } });
        let map = json!({ "name": fate, "optional": true });
        volumes.extend([
            (format!("map-{fate}"), json!({ "configMap": map })),
            (format!("pmap-{fate}"), projected(json!({ "configMap": map }))),
            (
                format!("secret-{fate}"),
                json!({ "secret": { "secretName": fate, "optional": true } }),
            ),
            (format!("psecret-{fate}"), projected(json!({ "secret": map }))),
        ]);
    }
    let items = json!({ "items": [
        { "path": "data-1", "fieldRef": { "fieldPath": "metadata.labels" } },
        { "path": "data-2", "fieldRef": { "fieldPath": "metadata.annotations['builder']" } },
    ] });
    volumes.push(("downward".to_owned(), json!({ "downwardAPI": items })));
    let source = json!({ "sources": [{ "downwardAPI": items }] });
    volumes.push(("pdownward".to_owned(), json!({ "projected": source })));
    volumes
}

/// What the running pod finds in each volume.
fn found(ns: &Namespace) -> Result<BTreeMap<String, String>> {
    let script = "cd /; for v in map-* pmap-* secret-* psecret-* *downward; do echo $v: $(cat $v/data-* 2>/dev/null); done";
    let said = ns.succeed(&["exec", "sees", "--", "sh", "-c", script])?;
    let lines = said.lines().filter_map(|line| line.split_once(':'));
    Ok(lines
        .map(|(name, text)| (name.to_owned(), text.trim().to_owned()))
        .collect())
}

/// What it should find: the value of each fate, the labels and the annotation.
fn wanted(changes: &str, goes: &str, comes: &str, labels: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (fate, value) in [("changes", changes), ("goes", goes), ("comes", comes)] {
        for kind in ["map", "pmap", "secret", "psecret"] {
            all.insert(format!("{kind}-{fate}"), value.to_owned());
        }
    }
    for kind in ["downward", "pdownward"] {
        all.insert(kind.to_owned(), labels.to_owned());
    }
    all
}

pub(crate) fn seen(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("updates")?;
    let objects = |value: &str, names: [&str; 2]| {
        let both = |name: &&str| [config_map(name, value), secret(name, value)];
        names.iter().flat_map(both).collect::<Vec<_>>()
    };
    apply(&ns, &objects("old", ["changes", "goes"]))?;
    apply(&ns, &[mounting("sees", "sleep 3600", &all_kinds())])?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/sees", "--timeout=240s"])?;
    let before = wanted("old", "old", "", "key1=\"value1\" key2=\"value2\"bar");
    ensure!(found(&ns)? == before, "{:?}", found(&ns)?);
    apply(&ns, &objects("new", ["changes", "comes"]))?;
    ns.succeed(&["delete", "configmap/goes", "secret/goes"])?;
    ns.succeed(&["label", "pod", "sees", "key3=value3"])?;
    ns.succeed(&["annotate", "pod", "sees", "--overwrite", "builder=foo"])?;
    let after = wanted(
        "new",
        "",
        "new",
        "key1=\"value1\" key2=\"value2\" key3=\"value3\"foo",
    );
    eventually("what changed in the volumes", || {
        let now = found(&ns)?;
        ensure!(now == after, "{now:?}");
        Ok(())
    })
}

/// Five pods begin with fifty volumes each, all at once, beside secrets of the same name elsewhere.
pub(crate) fn fifty(cluster: &Cluster) -> Result<()> {
    let kubectl = cluster.kubectl()?;
    let (ns, other) = (kubectl.namespace("fifty")?, kubectl.namespace("fifty-other")?);
    apply(&other, &[secret("same-name", "theirs")])?;
    let names: Vec<String> = (0..50).map(|index| format!("racey-{index}")).collect();
    let mut objects: Vec<Value> = names.iter().map(|name| config_map(name, name)).collect();
    objects.push(secret("same-name", "ours"));
    apply(&ns, &objects)?;
    let source = |name: &String| (name.clone(), json!({ "configMap": { "name": name } }));
    let mut volumes: Vec<_> = names.iter().map(source).collect();
    volumes.push((
        "own".to_owned(),
        json!({ "secret": { "secretName": "same-name" } }),
    ));
    let script =
        "cd /; for v in racey-*; do test $(cat $v/data-1) = $v && echo right; done | wc -l; cat own/data-1";
    let pods: Vec<Value> = (0..5)
        .map(|index| mounting(&format!("pod-{index}"), script, &volumes))
        .collect();
    apply(&ns, &pods)?;
    for index in 0..5 {
        let name = format!("pod-{index}");
        ns.wait_for("pod", &name, |pod| pod["status"]["phase"] == "Succeeded")?;
        let said = ns.succeed(&["logs", &name])?;
        ensure!(said.trim() == "50\nours", "{name} printed {said}");
    }
    Ok(())
}

/// A pod whose sub path is `expression`; `NAME` is `name`, `ANNOTATION` the annotation `mysubpath`.
fn sub_path(pod: &str, expression: &str, name: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": pod, "annotations": annotations },
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "main", "image": BUSYBOX, "command": ["/bin/sleep", "3600"],
                "env": [
                    { "name": "NAME", "value": name },
                    { "name": "ANNOTATION", "valueFrom": { "fieldRef": { "fieldPath": "metadata.annotations['mysubpath']" } } },
                ],
                "volumeMounts": [
                    { "name": "work", "mountPath": "/part", "subPathExpr": expression },
                    { "name": "work", "mountPath": "/whole" },
                ],
            }],
            "volumes": [{ "name": "work", "emptyDir": {} }],
        },
    })
}

pub(crate) fn sub_paths(cluster: &Cluster) -> Result<()> {
    let ns = cluster.kubectl()?.namespace("sub-paths")?;
    let refused = [
        ("up", "..", "must not contain '..'"),
        ("absolute", "/tmp", "must not be an absolute path"),
        ("unset", "foo", "missing value for ANNOTATION"),
    ];
    let expression = |pod: &str| {
        if pod == "unset" {
            "$(ANNOTATION)/$(NAME)"
        } else {
            "$(NAME)"
        }
    };
    let mut pods: Vec<Value> = refused
        .iter()
        .map(|(pod, name, _)| sub_path(pod, expression(pod), name, &json!({})))
        .collect();
    let set = json!({ "mysubpath": "mypath" });
    pods.push(sub_path("set", "$(ANNOTATION)/$(NAME)", "foo", &set));
    apply(&ns, &pods)?;
    for (pod, _, why) in refused {
        let found = ns.wait_for("pod", pod, |pod| {
            pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
                == "CreateContainerConfigError"
        })?;
        let message = &found["status"]["containerStatuses"][0]["state"]["waiting"]["message"];
        ensure!(
            message.as_str().is_some_and(|text| text.contains(why)),
            "{pod}: {message}"
        );
    }
    ns.succeed(&["wait", "--for=condition=Ready", "pod/set", "--timeout=240s"])?;
    let script = "echo said > /whole/mypath/foo/test.log; cat /part/test.log";
    let said = ns.succeed(&["exec", "set", "--", "sh", "-c", script])?;
    ensure!(said == "said\n", "{said}");
    // What is mounted stays; a container that could not start does once its annotation is there.
    ns.succeed(&["annotate", "pod", "set", "--overwrite", "mysubpath=mynewpath"])?;
    ns.succeed(&["annotate", "pod", "unset", "mysubpath=mypath"])?;
    ns.succeed(&["wait", "--for=condition=Ready", "pod/unset", "--timeout=240s"])?;
    let said = ns.succeed(&["exec", "set", "--", "cat", "/part/test.log"])?;
    ensure!(said == "said\n", "{said}");
    ns.succeed(&["delete", "pod", "--all", "--timeout=240s"])?;
    let left: Value = serde_json::from_str(&ns.succeed(&["get", "pods", "-o", "json"])?)?;
    ensure!(left["items"].as_array().context("no list")?.is_empty(), "{left}");
    Ok(())
}
