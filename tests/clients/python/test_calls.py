"""The calls of the Python client's end-to-end tests, which its distributions no longer hold: pods, exec, services, deployments,
jobs, nodes, watches, leader election, objects from YAML.
"""

import datetime
import io
import json
import os
import tarfile
import threading
import time
import uuid

import pytest
import yaml
from kubernetes import client, config, stream, utils, watch
from kubernetes.client.rest import ApiException
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock

IMAGE = "busybox:stable"
PATIENCE = 90


@pytest.fixture(scope="module", name="core")
def core_api():
    """The core API, as the kubeconfig's user."""
    config.load_kube_config()
    return client.CoreV1Api()


@pytest.fixture(scope="module", name="namespace")
def own_namespace(core):
    """A namespace that is gone afterwards; what controllers put into each is there."""
    name = f"python-{uuid.uuid4().hex[:8]}"
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
    for call, put in ((core.list_namespaced_service_account, "default"), (core.list_namespaced_config_map, "kube-root-ca.crt")):
        for event in watch.Watch().stream(call, name, timeout_seconds=PATIENCE):
            if event["object"].metadata.name == put:
                break
    yield name
    core.delete_namespace(name)


def pod(name, command, **more):
    """A pod of one container."""
    container = {"name": "main", "image": IMAGE, "command": ["sh", "-c", command]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1, **more}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"name": name}}, "spec": spec}


def running(core, namespace, name):
    """Waits for a pod to be ready."""
    selector = f"metadata.name={name}"
    for event in watch.Watch().stream(core.list_namespaced_pod, namespace, field_selector=selector, timeout_seconds=PATIENCE):
        conditions = event["object"].status.conditions or []
        if any(one.type == "Ready" and one.status == "True" for one in conditions):
            return
    raise AssertionError(f"pod {name} is not ready after {PATIENCE} s")


@pytest.fixture(scope="module", name="box")
def box_pod(core, namespace):
    """A pod that runs and has begun to serve and to print."""
    core.create_namespaced_pod(namespace, pod("box", "httpd -p 8080 -h /tmp; echo began; exec sleep 3600"))
    running(core, namespace, "box")
    following = watch.Watch()
    for _ in following.stream(core.read_namespaced_pod_log, "box", namespace, follow=True, _request_timeout=PATIENCE):
        break
    following.stop()
    return "box"


def test_pod_lifecycle(core, namespace):
    """A pod is made, listed, read, labelled, and deleted."""
    core.create_namespaced_pod(namespace, pod("one", "sleep 3600"))
    running(core, namespace, "one")
    assert "one" in [item.metadata.name for item in core.list_namespaced_pod(namespace, label_selector="name=one").items]
    patched = core.patch_namespaced_pod("one", namespace, {"metadata": {"labels": {"tier": "back"}}})
    assert patched.metadata.labels == {"name": "one", "tier": "back"}
    assert core.read_namespaced_pod_status("one", namespace).status.pod_ip
    core.delete_namespaced_pod("one", namespace, grace_period_seconds=0)
    with pytest.raises(ApiException) as refused:
        for _ in range(100):
            core.read_namespaced_pod("one", namespace)
            time.sleep(0.1)
    assert refused.value.status == 404 and json.loads(refused.value.body)["reason"] == "NotFound"


def test_exec(core, namespace, box):
    """exec without and with streams, over WebSocket."""
    connect = core.connect_get_namespaced_pod_exec
    assert stream.stream(connect, box, namespace, command=["echo", "hello"], stdout=True, stderr=True) == "hello\n"
    shell = stream.stream(connect, box, namespace, command=["sh"], stdin=True, stdout=True, stderr=True, _preload_content=False)
    shell.write_stdin("echo one\n")
    assert shell.readline_stdout(timeout=PATIENCE) == "one"
    shell.write_stdin("echo two >&2\n")
    assert shell.readline_stderr(timeout=PATIENCE) == "two"
    shell.write_stdin("exit 7\n")
    shell.run_forever(timeout=PATIENCE)
    assert shell.returncode == 7


def test_exec_binary(core, namespace, box):
    """An archive goes in and comes out byte by byte."""
    connect = core.connect_get_namespaced_pod_exec
    content = bytes(range(256)) * 512
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("bytes")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    # Its input is never closed, since this client cannot.
    words = ["sh", "-c", f"head -c {len(archive.getvalue())} | tar x -C /tmp"]
    into = stream.stream(connect, box, namespace, command=words, stdin=True, stdout=True, stderr=True, binary=True, _preload_content=False)
    into.write_stdin(archive.getvalue())
    into.run_forever(timeout=PATIENCE)
    into.close()
    back = stream.stream(connect, box, namespace, command=["cat", "/tmp/bytes"], stdout=True, stderr=True, binary=True)
    assert back == content


def test_exit_code(core, namespace, box):
    """The code of a command that fails."""
    connect = core.connect_get_namespaced_pod_exec
    for code in (0, 1, 3):
        done = stream.stream(connect, box, namespace, command=["sh", "-c", f"exit {code}"], stdout=True, stderr=True, _preload_content=False)
        done.run_forever(timeout=PATIENCE)
        assert done.returncode == code


def test_portforward_raw(core, namespace, box):
    """Bytes through a forwarded port."""
    forward = stream.portforward(core.connect_get_namespaced_pod_portforward, box, namespace, ports="8080")
    socket = forward.socket(8080)
    socket.settimeout(PATIENCE)
    socket.sendall(b"GET /nothing HTTP/1.0\r\n\r\n")
    answer = b""
    while part := socket.recv(4096):
        answer += part
    assert answer.startswith(b"HTTP/1.") and b"404" in answer.splitlines()[0]
    assert forward.error(8080) is None


def test_log(core, namespace, box):
    """What a container printed."""
    assert core.read_namespaced_pod_log(box, namespace) == "began\n"
    assert core.read_namespaced_pod_log(box, namespace, tail_lines=1, timestamps=True).endswith(" began\n")


def test_service_apis(core, namespace):
    """A service with a named target port, patched and deleted."""
    manifest = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "frontend", "labels": {"name": "frontend"}},
        "spec": {"ports": [{"name": "port", "port": 80, "protocol": "TCP", "targetPort": 80}], "selector": {"name": "frontend"}},
    }
    assert core.create_namespaced_service(namespace, manifest).spec.cluster_ip
    manifest["spec"]["ports"] = [{"name": "new", "port": 8080, "protocol": "TCP", "targetPort": 8080}]
    assert {one.port for one in core.patch_namespaced_service("frontend", namespace, manifest).spec.ports} == {80, 8080}
    core.delete_namespaced_service("frontend", namespace)


def test_replication_controller_apis(core, namespace):
    """A replication controller; none of its pods is awaited."""
    manifest = {
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": "frontend"},
        "spec": {"replicas": 2, "selector": {"name": "frontend"}, "template": {
            "metadata": {"name": "nginx", "labels": {"name": "frontend"}},
            "spec": {"containers": [{"image": "nginx:stable", "name": "nginx", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}}},
    }
    assert core.create_namespaced_replication_controller(namespace, manifest).spec.replicas == 2
    assert core.read_namespaced_replication_controller("frontend", namespace).metadata.generation == 1
    core.delete_namespaced_replication_controller("frontend", namespace, propagation_policy="Background")


def test_configmap_apis(core, namespace):
    """A config map, by name and by selector."""
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "labels": {"e2e": "true"}}, "data": {"config.json": "{}"}}
    assert core.create_namespaced_config_map(namespace, manifest).metadata.name == "settings"
    manifest["data"] = {"config.json": '{"port": 80}'}
    core.patch_namespaced_config_map("settings", namespace, manifest)
    assert core.read_namespaced_config_map("settings", namespace).data == manifest["data"]
    assert len(core.list_namespaced_config_map(namespace, label_selector="e2e=true").items) == 1
    core.delete_namespaced_config_map("settings", namespace)


def test_node_apis(core):
    """Nodes are listed and read."""
    for item in core.list_node().items:
        assert core.read_node(item.metadata.name).metadata.labels


def test_create_deployment(namespace):
    """A deployment is made, scaled by its subresource, and deleted."""
    apps = client.AppsV1Api()
    manifest = yaml.safe_load("""
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: nginx-app}
        spec:
          replicas: 3
          selector: {matchLabels: {app: nginx}}
          template:
            metadata: {labels: {app: nginx}}
            spec: {terminationGracePeriodSeconds: 1, containers: [{name: nginx, image: 'nginx:stable'}]}
    """)
    apps.create_namespaced_deployment(namespace, manifest)
    for event in watch.Watch().stream(apps.list_namespaced_deployment, namespace, timeout_seconds=PATIENCE):
        if event["object"].status.ready_replicas == 3:
            break
    else:
        raise AssertionError(f"three pods are not ready after {PATIENCE} s")
    scaled = apps.patch_namespaced_deployment_scale("nginx-app", namespace, {"spec": {"replicas": 1}})
    assert scaled.spec.replicas == 1
    apps.delete_namespaced_deployment("nginx-app", namespace, body={})


def test_create_daemonset(namespace):
    """A daemon set is made and deleted."""
    apps = client.AppsV1Api()
    labels = {"app": "nginx-daemon"}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "nginx", "image": "nginx:stable"}]}}}
    apps.create_namespaced_daemon_set(namespace, {"metadata": {"name": "daemon"}, "spec": spec})
    assert apps.read_namespaced_daemon_set("daemon", namespace).spec.update_strategy.type == "RollingUpdate"
    apps.delete_namespaced_daemon_set("daemon", namespace, body={})


def test_job_apis(namespace):
    """A job is made, read, and deleted with what it has."""
    batch = client.BatchV1Api()
    template = {"metadata": {"name": "pi"}, "spec": {"containers": [{"image": IMAGE, "name": "pi"}], "restartPolicy": "Never"}}
    batch.create_namespaced_job(namespace, {"kind": "Job", "apiVersion": "batch/v1", "metadata": {"name": "pi"}, "spec": {"template": template}})
    assert batch.read_namespaced_job("pi", namespace).spec.backoff_limit == 6
    batch.delete_namespaced_job("pi", namespace, propagation_policy="Background")


def test_watch_resumes(core, namespace):
    """A watch shows each change once, and one from a revision shows what came later."""
    seen, revision = [], core.list_namespaced_config_map(namespace).metadata.resource_version
    for name in ("a", "b"):
        core.create_namespaced_config_map(namespace, {"metadata": {"name": f"watched-{name}"}})
    following = watch.Watch()
    for event in following.stream(core.list_namespaced_config_map, namespace, resource_version=revision, timeout_seconds=PATIENCE):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 2:
            following.stop()
    assert seen == [("ADDED", "watched-a"), ("ADDED", "watched-b")]
    core.delete_namespaced_config_map("watched-a", namespace)
    for event in watch.Watch().stream(core.list_namespaced_config_map, namespace, resource_version=following.resource_version, timeout_seconds=PATIENCE):
        assert (event["type"], event["object"].metadata.name) == ("DELETED", "watched-a")
        break


def test_chunks(core, namespace):
    """Pages of a list."""
    for index in range(5):
        core.create_namespaced_config_map(namespace, {"metadata": {"name": f"chunk-{index}", "labels": {"chunk": "yes"}}})
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map(namespace, label_selector="chunk=yes", limit=2, _continue=token)
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == [f"chunk-{index}" for index in range(5)]


def test_create_from_yaml(namespace):
    """Objects of several kinds out of one file."""
    path = os.path.join(os.path.dirname(__file__), "objects.yaml")
    made = utils.create_from_yaml(client.ApiClient(), path, namespace=namespace)
    assert [one.metadata.name for [one] in made] == ["from-yaml", "from-yaml"]


def test_dry_run_and_validation(core, namespace):
    """A dry run stores nothing; unknown fields are refused where that is asked."""
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "never"}}, dry_run="All")
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "strict"}, "datum": {}}, field_validation="Strict")
    assert refused.value.status == 400 and 'unknown field \\"datum\\"' in refused.value.body
    with pytest.raises(ApiException) as absent:
        core.read_namespaced_config_map("never", namespace)
    assert absent.value.status == 404


def test_token_and_review(core, namespace):
    """A token of a service account authenticates as it."""
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "clerk"}})
    token = core.create_namespaced_service_account_token("clerk", namespace, {"spec": {"expirationSeconds": 600}}).status.token
    review = client.AuthenticationV1Api().create_token_review({"spec": {"token": token}})
    assert review.status.user.username == f"system:serviceaccount:{namespace}:clerk"


def test_leader_election(namespace):
    """One who wants to lead does, and lets go."""
    began = threading.Event()
    lock = ConfigMapLock("leader", namespace, "me")
    settings = electionconfig.Config(lock, lease_duration=3, renew_deadline=2, retry_period=1, onstarted_leading=began.set, onstopped_leading=None)
    threading.Thread(target=leaderelection.LeaderElection(settings).run, daemon=True).start()
    assert began.wait(PATIENCE)


def test_lease(namespace):
    """Times with microseconds come back as they went."""
    leases = client.CoordinationV1Api()
    now = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone.utc)
    spec = {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": now}
    assert leases.create_namespaced_lease(namespace, {"metadata": {"name": "me"}, "spec": spec}).spec.renew_time == now
