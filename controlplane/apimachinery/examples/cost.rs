//! Prints what it costs to keep track of who owns which fields, per write: `cargo run --release --example cost`.
#![expect(clippy::print_stdout, reason = "printing is what the example is for")]

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use controlplane_apimachinery::managed::{OneVersion, STATUS, Writer};
use controlplane_apimachinery::meta;
use controlplane_schema::builtin;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    for (what, kind, object) in [
        ("ConfigMap of 1 KiB", "ConfigMap", config_map()),
        ("Pod of 6 KiB", "Pod", pod()),
    ] {
        let schema = builtin().kind("", "v1", kind).ok_or("a built-in kind")?;
        let writer = Writer {
            schema,
            versions: &OneVersion,
            api_version: "v1",
            manager: "cost",
            subresource: "",
            reset: &STATUS,
            now: "2026-01-02T03:04:05Z".parse()?,
        };
        let mut stored = object.clone();
        writer.update(None, &mut stored);
        let mut changed = stored.clone();
        meta::metadata_mut(&mut changed).insert("labels".to_owned(), json!({"new": "label"}));
        println!(
            "{what}: {} bytes, {} with owners",
            length(&object),
            length(&stored)
        );
        println!(
            "  create           {:?}",
            each(&object, |new| writer.update(None, new))
        );
        println!(
            "  update           {:?}",
            each(&changed, |new| writer.update(Some(&stored), new))
        );
        println!(
            "  update, no change {:?}",
            each(&stored, |new| writer.update(Some(&stored), new))
        );
        println!("  parse, to compare {:?}", parsing(&object)?);
        println!(
            "  apply            {:?}",
            each(&object, |config| drop(black_box(writer.apply(
                Some(&stored),
                config,
                true
            ))))
        );
    }
    Ok(())
}

fn length(object: &Value) -> usize {
    object.to_string().len()
}

/// The median time of a write, without that of copying its object.
fn each(object: &Value, mut write: impl FnMut(&mut Value)) -> Duration {
    let mut times: Vec<Duration> = (0..5001)
        .map(|_| {
            let mut object = object.clone();
            let start = Instant::now();
            write(&mut object);
            let time = start.elapsed();
            black_box(object);
            time
        })
        .collect();
    times.sort();
    times.get(2500).copied().unwrap_or_default()
}

fn parsing(object: &Value) -> Result<Duration, serde_json::Error> {
    let text = object.to_string();
    let start = Instant::now();
    for _ in 0..1000 {
        black_box(serde_json::from_str::<Value>(&text)?);
    }
    Ok(start.elapsed() / 1000)
}

fn config_map() -> Value {
    let data: serde_json::Map<String, Value> = (0..10)
        .map(|key| (format!("key-{key}"), "x".repeat(80).into()))
        .collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "d", "labels": {"app": "c"}}, "data": data})
}

fn pod() -> Value {
    let env: Vec<Value> = (0..20)
        .map(|number| json!({"name": format!("VARIABLE_{number}"), "value": "a value of some length"}))
        .collect();
    let container = |name: &str| {
        json!({"name": name, "image": "registry.example.com/team/app:1.2.3", "env": env, "imagePullPolicy": "IfNotPresent",
            "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 443, "protocol": "TCP"}],
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "periodSeconds": 10}})
    };
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "d", "labels": {"app": "p", "tier": "front"}, "annotations": {"note": "x".repeat(500)}},
        "spec": {"containers": [container("a"), container("b"), container("c")], "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
            "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30, "enableServiceLinks": true,
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]}})
}
