//! What an operator does to nodes and for those who use the cluster, with the real kubectl.

use anyhow::{Result, ensure};
use tests_harness::{BUSYBOX, Cluster, Namespace, eventually};

/// Words of a node's line in `kubectl get nodes`.
fn status(kubectl: &Namespace, node: &str) -> Result<String> {
    let line = kubectl.succeed(&["get", "node", node, "--no-headers"])?;
    Ok(line.split_whitespace().nth(1).unwrap_or_default().to_owned())
}

/// The nodes on which the pods of a label run that are not on their way out.
fn places(kubectl: &Namespace, label: &str) -> Result<String> {
    let template = "{{range .items}}{{if not .metadata.deletionTimestamp}}{{.spec.nodeName}} {{end}}{{end}}";
    kubectl.succeed(&[
        "get",
        "pods",
        "-l",
        label,
        "-o",
        &format!("go-template={template}"),
    ])
}

/// Drains only pods of its own, since other tests left some; a cordon still keeps every new pod away.
pub(crate) fn drained(cluster: &Cluster) -> Result<()> {
    let kubectl = cluster.kubectl()?.namespace("drained")?;
    let node = format!("{}-3", cluster.name());
    let image = format!("--image={BUSYBOX}");
    let create = [
        "create",
        "deployment",
        "drained",
        &image,
        "--replicas=6",
        "--",
        "sleep",
        "3600",
    ];
    kubectl.succeed(&create)?;
    kubectl.succeed(&["rollout", "status", "deployment/drained", "--timeout=240s"])?;
    let on_node = places(&kubectl, "app=drained")?.matches(&node).count();
    ensure!(on_node > 0, "none of six pods is on {node}");
    let cordoned = kubectl.succeed(&["cordon", &node])?;
    ensure!(
        cordoned.contains("cordoned") && status(&kubectl, &node)? == "Ready,SchedulingDisabled",
        "not cordoned: {cordoned}"
    );
    kubectl.succeed(&["scale", "deployment/drained", "--replicas=9"])?;
    kubectl.succeed(&["rollout", "status", "deployment/drained", "--timeout=240s"])?;
    let here = places(&kubectl, "app=drained")?;
    ensure!(
        here.matches(&node).count() == on_node,
        "a cordoned node got pods: {here}"
    );
    let said = kubectl.succeed(&[
        "drain",
        &node,
        "--pod-selector=app=drained",
        "--grace-period=1",
        "--timeout=240s",
    ])?;
    ensure!(
        said.contains("evicted") && said.contains(&format!("node/{node} drained")),
        "{said}"
    );
    kubectl.succeed(&["rollout", "status", "deployment/drained", "--timeout=240s"])?;
    let left = places(&kubectl, "app=drained")?;
    ensure!(!left.contains(&node), "pods on a drained node: {left}");
    kubectl.succeed(&["uncordon", &node])?;
    eventually("the node to be schedulable", || {
        ensure!(status(&kubectl, &node)? == "Ready", "still cordoned");
        Ok(())
    })
}

pub(crate) fn exposed(cluster: &Cluster) -> Result<()> {
    let kubectl = cluster.kubectl()?.namespace("exposed")?;
    let image = format!("--image={BUSYBOX}");
    let serve = "echo hello > /tmp/index.html && httpd -f -p 8080 -h /tmp";
    let create = [
        "create",
        "deployment",
        "web",
        &image,
        "--replicas=2",
        "--",
        "sh",
        "-c",
        serve,
    ];
    kubectl.succeed(&create)?;
    let expose = [
        "expose",
        "deployment",
        "web",
        "--port=80",
        "--target-port=8080",
        "--type=NodePort",
    ];
    ensure!(
        kubectl.succeed(&expose)?.contains("service/web exposed"),
        "another answer"
    );
    kubectl.succeed(&["rollout", "status", "deployment/web", "--timeout=240s"])?;
    eventually("both pods among the endpoints", || {
        let select = [
            "get",
            "endpointslices",
            "-l",
            "kubernetes.io/service-name=web",
            "--no-headers",
        ];
        let line = kubectl.succeed(&select)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let addresses = words.get(3).map_or(0, |list| list.split(',').count());
        ensure!(
            words.get(1..3) == Some(&["IPv4", "8080"]) && addresses == 2,
            "{line}"
        );
        Ok(())
    })?;
    let fetch = "wget -q -O - http://web";
    eventually("the page by the Service's name", || {
        let page = kubectl.succeed(&["exec", "deploy/web", "--", "sh", "-c", fetch])?;
        ensure!(page.trim() == "hello", "{page}");
        Ok(())
    })?;
    let refused = kubectl.fail(&["expose", "deployment", "web", "--port=80", "--name=Bad"])?;
    ensure!(
        refused.contains("metadata.name") && refused.contains("Invalid value"),
        "{refused}"
    );
    Ok(())
}
