"""Overlay: how soon a change of a Node is programmed on another node, and what the way from a pod to
one of another node costs beside plain VXLAN between the same nodes.
"""

import json
import os
import subprocess
import sys
import threading
import time

import services
from cluster import busybox_image
from pods import Api, percentile

CHANGES = 100
PATIENCE = 10
IMAGE = "localhost/bench-busybox:1"
NODES = "/api/v1/nodes"
PODS = "/api/v1/namespaces/default/pods"
#: The plain device: another network identifier, port and subnet.
PLAIN = {1: "172.31.99.1", 2: "172.31.99.2"}


class Place:
    """A network namespace of a machine of the cluster: its own, or one of its pods."""

    def __init__(self, name, pod=None):
        first = leader(name)
        path = f"/proc/{first}/ns/net"
        if pod:
            folder = f"/proc/{first}/root/run/netns"
            path = os.path.join(folder, next(found for found in os.listdir(folder) if found.endswith(pod)))
        self.prefix = ["nsenter", f"--net={path}", "--"]

    def run(self, *words):
        """What a program prints that must succeed."""
        done = subprocess.run([*self.prefix, *words], capture_output=True, check=False, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def start(self, *words):
        """Starts a program that the caller ends."""
        return subprocess.Popen([*self.prefix, *words], stdout=subprocess.PIPE, text=True)


def leader(name):
    """The process that is PID 1 of the machine with that host name."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
                if file.read().strip() != "systemd":
                    continue
            with open(f"/proc/{pid}/root/etc/hostname", encoding="utf-8") as file:
                if file.read().strip() == name:
                    return pid
        except OSError:
            continue
    raise RuntimeError(f"machine {name} does not run")


class Routes(threading.Thread):
    """When each line of `ip monitor route` was read on a node."""

    def __init__(self, place):
        super().__init__(daemon=True)
        self.process = place.start("ip", "-o", "monitor", "route")
        self.seen = []
        self.changed = threading.Condition()

    def run(self):
        """Notes lines until the program ends."""
        for line in self.process.stdout:
            with self.changed:
                self.seen.append((time.perf_counter(), line))
                self.changed.notify_all()

    def wait(self, since, subnet, gone):
        """Milliseconds from `since` until the route to `subnet` came or went."""

        def found():
            lines = ((at, line) for at, line in self.seen if at >= since and subnet in line)
            return next((at for at, line in lines if line.startswith("Deleted") == gone), None)

        with self.changed:
            if not self.changed.wait_for(lambda: found() is not None, PATIENCE):
                raise RuntimeError(f"the route to {subnet} did not {'go' if gone else 'come'}")
            return (found() - since) * 1000


def patch(api, path, body):
    """A merge patch, which must succeed."""
    api.connection.request("PATCH", path, json.dumps(body), {"Content-Type": "application/merge-patch+json"})
    answer = api.connection.getresponse()
    content = answer.read()
    if answer.status >= 300:
        raise RuntimeError(f"PATCH {path}: {answer.status} {content.decode()[:400]}")


def changes(cluster):
    """Milliseconds from the request that tells where a node is, or removes it, to its route."""
    api, routes = Api(cluster), Routes(Place(f"{cluster.name}-2"))
    routes.start()
    times = {"added": [], "removed": []}
    try:
        for number in range(CHANGES):
            name, subnet = f"fake-{number}", f"10.42.{200 + number % 50}.0/24"
            spec = {"podCIDR": subnet, "podCIDRs": [subnet]}
            api.call("POST", NODES, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec})
            address = {"type": "InternalIP", "address": "192.0.2.77"}
            begun = time.perf_counter()
            patch(api, f"{NODES}/{name}/status", {"status": {"addresses": [address]}})
            times["added"].append(routes.wait(begun, subnet, False))
            begun = time.perf_counter()
            api.call("DELETE", f"{NODES}/{name}")
            times["removed"].append(routes.wait(begun, subnet, True))
    finally:
        routes.process.kill()
    return {name: {f"p{share}_ms": percentile(found, share) for share in (50, 99)} for name, found in times.items()}


def pod(cluster, number):
    """A pod on a node, Ready; its name and address."""
    api, name = Api(cluster), f"bench-pod-{number}"
    container = {"name": "main", "image": IMAGE, "command": ["/bin/sleep", "3600"]}
    spec = {"nodeName": f"{cluster.name}-{number}", "containers": [container], "terminationGracePeriodSeconds": 0}
    api.call("POST", PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
    deadline = time.monotonic() + PATIENCE * 3
    while time.monotonic() < deadline:
        status = api.call("GET", f"{PODS}/{name}").get("status", {})
        if status.get("phase") == "Running":
            return name, status["podIP"]
        time.sleep(0.05)
    raise RuntimeError(f"{name} does not run")


def ask(server, client, address):
    """What connections, round trips and bulk cost between two places."""
    program = (sys.executable, os.path.abspath(services.__file__))
    with server.start(*program, "serve") as running:
        try:
            running.stdout.readline()
            return json.loads(client.run(*program, "ask", address, str(services.PORT)))
        finally:
            running.kill()


def plain(cluster):
    """Plain VXLAN between two nodes, with nothing but an address at each end."""
    places = {number: Place(f"{cluster.name}-{number}") for number in PLAIN}
    nodes = {
        item["metadata"]["name"]: next(a["address"] for a in item["status"]["addresses"] if a["type"] == "InternalIP")
        for item in Api(cluster).call("GET", NODES)["items"]
    }
    for number, other in ((1, 2), (2, 1)):
        ends = ("local", nodes[f"{cluster.name}-{number}"], "remote", nodes[f"{cluster.name}-{other}"])
        device = ("ip", "link", "add", "plain", "type", "vxlan", "id", "77", "dstport", "4790")
        places[number].run(*device, *ends)
        places[number].run("ip", "addr", "add", f"{PLAIN[number]}/24", "dev", "plain")
        places[number].run("ip", "link", "set", "plain", "up")
    try:
        return ask(places[2], places[1], PLAIN[2])
    finally:
        for place in places.values():
            place.run("ip", "link", "del", "plain")


def measure(cluster):
    """All figures."""
    figures = {"changes": changes(cluster), "plain_vxlan": plain(cluster)}
    cluster.load(busybox_image(cluster, IMAGE))
    (one, _), (two, address) = pod(cluster, 1), pod(cluster, 2)
    figures["pod_to_pod"] = ask(
        Place(f"{cluster.name}-2", two), Place(f"{cluster.name}-1", one), address
    )
    return figures


def show(figures):
    """Prints the figures as two tables."""
    print(f"{'overlay: a Node changed, until its route':<42} {'p50 ms':>8} {'p99 ms':>8}  goal")
    for name, of in figures["changes"].items():
        print(f"{name:<42} {of['p50_ms']:8.1f} {of['p99_ms']:8.1f}  < 100 ms")
    print(f"\n{'overlay: across nodes':<24}{'connect us':>12}{'round trip us':>15}{'Gbit/s':>9}")
    for what, name in (("plain VXLAN", "plain_vxlan"), ("pod to pod", "pod_to_pod")):
        of = figures[name]
        print(f"{what:<24}{of['connect_p50_us']:>12.1f}{of['round_trip_p50_us']:>15.1f}{of['gigabits']:>9.2f}")
