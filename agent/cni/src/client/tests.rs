use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

/// A node with scripted plugins that write down how they were called.
struct Node {
    dir: TempDir,
    cni: Cni,
}

const FIRST: &str = r#"[ $CNI_COMMAND = ADD ] && echo '{"cniVersion":"1.1.0","interfaces":[{"name":"br"},{"name":"eth0","mac":"02:00:00:00:00:01","sandbox":"/x"}],"ips":[{"interface":1,"address":"10.1.0.5/24","gateway":"10.1.0.1"}]}'; true"#;
/// Answers with what the first gave, as a chained plugin does.
const SECOND: &str = FIRST;

impl Node {
    fn new(second: &str) -> Self {
        Self::with(("second", second))
    }

    /// `second` by its type and its script, chained behind `first`.
    fn with(second: (&str, &str)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, body) in [("first", FIRST), second] {
            let record =
                r#"cat > "$0.last"; echo "$(basename $0) $CNI_COMMAND $CNI_IFNAME" >> "$(dirname $0)/calls""#;
            let path = dir.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{record}\n{body}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let chained = json!({"type": second.0, "capabilities": {"portMappings": true}});
        let conflist = json!({"cniVersion": "1.1.0", "name": "net", "plugins": [{"type": "first"}, chained]});
        fs::write(dir.path().join("1.conflist"), conflist.to_string()).unwrap();
        let cni = Cni::load(dir.path(), dir.path())
            .unwrap()
            .with_cache_dir(&dir.path().join("cache"));
        Self { dir, cni }
    }

    fn calls(&self) -> Vec<String> {
        let path = self.dir.path().join("calls");
        let lines = fs::read_to_string(&path)
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect();
        drop(fs::remove_file(path));
        lines
    }

    fn last_config(&self, plugin: &str) -> Value {
        serde_json::from_slice(&fs::read(self.dir.path().join(format!("{plugin}.last"))).unwrap()).unwrap()
    }
}

fn pod() -> PodNet {
    let mapping = crate::PortMapping {
        host_port: 80,
        container_port: 8080,
        protocol: "tcp".to_owned(),
        host_ip: None,
    };
    PodNet {
        container_id: "uid-1".to_owned(),
        netns: "/proc/self/ns/net".into(),
        namespace: "default".to_owned(),
        pod: "web".to_owned(),
        uid: "uid-1".to_owned(),
        port_mappings: vec![mapping],
        bandwidth: None,
    }
}

#[tokio::test]
async fn plugins_are_chained_in_order_and_undone_in_reverse() {
    let node = Node::new(SECOND);
    let result = node.cni.add(&pod()).await.unwrap();
    assert_eq!(
        result.ips,
        [Address {
            ip: "10.1.0.5".parse().unwrap(),
            prefix: 24,
            gateway: "10.1.0.1".parse().ok()
        }]
    );
    assert_eq!(result.mac.as_deref(), Some("02:00:00:00:00:01"));
    assert_eq!(node.calls(), ["first ADD eth0", "second ADD eth0"]);
    assert_eq!(
        node.last_config("second")["runtimeConfig"]["portMappings"][0]["hostPort"],
        80
    );
    assert_eq!(node.cni.cached("uid-1"), Some(result));
    node.cni.del(&pod()).await.unwrap();
    assert_eq!(node.calls(), ["second DEL eth0", "first DEL eth0"]);
    assert_eq!(
        node.last_config("first")["prevResult"]["ips"][0]["address"],
        "10.1.0.5/24"
    );
    assert_eq!(node.cni.cached("uid-1"), None);
    node.cni.del(&pod()).await.unwrap();
}

#[tokio::test]
async fn a_refused_add_is_undone_and_told_in_the_plugins_words() {
    let node = Node::new(
        r#"[ $CNI_COMMAND = ADD ] && { echo '{"code":101,"msg":"no address is free"}'; exit 1; }; true"#,
    );
    let error = node.cni.add(&pod()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "network plugin second refused ADD for uid-1: no address is free (code 101)"
    );
    assert_eq!(
        node.calls(),
        [
            "first ADD eth0",
            "second ADD eth0",
            "second DEL eth0",
            "first DEL eth0"
        ]
    );
    assert!(node.cni.cache.all().is_empty());
}

#[tokio::test]
async fn del_calls_every_plugin_and_is_remembered_until_all_succeeded() {
    let node = Node::new(
        r#"[ $CNI_COMMAND = DEL ] && [ ! -e "$0.mend" ] && exit 3; [ $CNI_COMMAND = ADD ] && echo '{"cniVersion":"1.1.0"}'; true"#,
    );
    node.cni.add(&pod()).await.unwrap();
    node.calls();
    assert!(matches!(
        node.cni.del(&pod()).await,
        Err(CniError::BadAnswer { .. })
    ));
    assert_eq!(node.calls(), ["second DEL eth0", "first DEL eth0"]);
    fs::write(node.dir.path().join("second.mend"), "").unwrap();
    node.cni.del(&pod()).await.unwrap();
    assert!(node.cni.cache.all().is_empty());
}

#[tokio::test]
async fn gc_detaches_what_is_known_and_names_what_is_valid() {
    let node = Node::new(SECOND);
    node.cni.add(&pod()).await.unwrap();
    node.calls();
    node.cni.gc(&BTreeSet::from(["other".to_owned()])).await.unwrap();
    assert_eq!(
        node.calls(),
        ["second DEL eth0", "first DEL eth0", "first GC ", "second GC "]
    );
    assert_eq!(
        node.last_config("first")["cni.dev/valid-attachments"],
        json!([{"containerID": "other", "ifname": "eth0"}])
    );
}

#[tokio::test]
async fn a_missing_plugin_is_named_with_where_it_was_sought() {
    let node = Node::new(SECOND);
    fs::remove_file(node.dir.path().join("second")).unwrap();
    let error = node.cni.status().await.unwrap_err().to_string();
    assert!(
        error.contains("\"second\"") && error.contains("/opt/cni/bin"),
        "{error}"
    );
}

#[tokio::test]
async fn a_plugin_that_prints_nonsense_is_quoted() {
    let node = Node::new("echo hello; true");
    let error = node.cni.add(&pod()).await.unwrap_err().to_string();
    assert!(error.contains("\"hello\\n\""), "{error}");
}

#[tokio::test]
async fn what_a_plugin_made_is_held_until_its_del_begins() {
    let node = Node::new(
        r#"[ $CNI_COMMAND = DEL ] && exit 3; [ $CNI_COMMAND = ADD ] && echo '{"cniVersion":"1.1.0","ips":[]}'; true"#,
    );
    assert!(node.cni.held("second").is_empty());
    node.cni.add(&pod()).await.unwrap();
    assert!(node.cni.held("third").is_empty());
    let held = node.cni.held("second").remove(0);
    assert_eq!(
        (held.container_id.as_str(), held.if_name.as_str()),
        ("uid-1", "eth0")
    );
    assert!(held.args.contains("K8S_POD_NAME=web"), "{}", held.args);
    assert_eq!(held.config["runtimeConfig"]["portMappings"][0]["hostPort"], 80);
    assert_eq!(held.config["prevResult"]["ips"], json!([]));
    node.cni.check(&pod()).await.unwrap();
    node.cni.del(&pod()).await.unwrap_err();
    assert!(node.cni.held("second").is_empty());
    let half = node.cni.check(&pod()).await;
    assert!(matches!(half, Err(CniError::Ending { .. })), "{half:?}");
    node.cni.add(&pod()).await.unwrap();
    assert_eq!(node.cni.held("second").len(), 1);
}

#[tokio::test]
async fn portmap_is_asked_of_pods_with_host_ports_alone_and_about_the_node() {
    let node = Node::with(("portmap", SECOND));
    let without = PodNet {
        port_mappings: Vec::new(),
        ..pod()
    };
    let result = node.cni.add(&without).await.unwrap();
    assert_eq!(result.ips.len(), 1);
    node.cni.check(&without).await.unwrap();
    node.cni.del(&without).await.unwrap();
    assert_eq!(
        node.calls(),
        ["first ADD eth0", "first CHECK eth0", "first DEL eth0"]
    );
    node.cni.status().await.unwrap();
    node.cni.gc(&BTreeSet::new()).await.unwrap();
    let asked = ["first STATUS ", "portmap STATUS ", "first GC ", "portmap GC "];
    assert_eq!(node.calls(), asked);
}

#[tokio::test]
async fn what_portmap_made_is_taken_away_by_what_was_recorded_or_where_nothing_was() {
    let node = Node::with(("portmap", SECOND));
    let without = PodNet {
        port_mappings: Vec::new(),
        ..pod()
    };
    node.cni.add(&pod()).await.unwrap();
    assert_eq!(node.calls(), ["first ADD eth0", "portmap ADD eth0"]);
    // Whatever the pod is said to be now.
    node.cni.del(&without).await.unwrap();
    assert_eq!(node.calls(), ["portmap DEL eth0", "first DEL eth0"]);
    node.cni.del(&without).await.unwrap();
    assert_eq!(node.calls(), ["portmap DEL eth0", "first DEL eth0"]);
    // An agent that sweeps knows no more than the record.
    node.cni.add(&pod()).await.unwrap();
    node.calls();
    node.cni.gc(&BTreeSet::new()).await.unwrap();
    assert_eq!(node.calls()[..2], ["portmap DEL eth0", "first DEL eth0"]);
}
