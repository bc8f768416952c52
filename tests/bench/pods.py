"""Pods: how soon they are Ready, how soon their end shows, and what the daemons take.

The benchmark starts a cluster of its own and takes it down whatever happens. Times are taken by
this process from one watch of the API, from before the request that creates a pod to the event
that shows it Ready; raw crun is timed in the same machine, in the same run.
"""

import datetime
import http.client
import json
import os
import signal
import sys
import threading
import time

from cluster import Cluster, busybox_image, raw_crun

PODS_IN_TURN = 60
AT_ONCE = 20
ROUNDS = 5
RAW_RUNS = 60
IDLE_SECONDS = 20
PATIENCE = 60
PODS = "/api/v1/namespaces/default/pods"
IMAGE = "localhost/bench-busybox:1"


def percentile(values, share):
    """The nearest-rank percentile of `values`."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * share // 100) - 1))]


class Api:
    """One connection to the API server."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.connection = cluster.connect()

    def call(self, method, path, body=None):
        """Sends a request and returns the answer, which must be a success."""
        text = None if body is None else json.dumps(body)
        self.connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status >= 300 and not (method == "DELETE" and answer.status == 404):
            raise RuntimeError(f"{method} {path}: {answer.status} {content.decode()[:400]}")
        return json.loads(content)


class Watch(threading.Thread):
    """What one watch of the pods saw of each, with the time it was seen."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self.seen = {}
        self.changed = threading.Condition()
        self.failure = None
        revision = Api(cluster).call("GET", PODS)["metadata"]["resourceVersion"]
        self.connection = cluster.connect()
        self.connection.request("GET", f"{PODS}?watch=true&resourceVersion={revision}")
        self.stream = self.connection.getresponse()

    def run(self):
        """Notes events until the stream ends."""
        try:
            while line := self.stream.readline():
                self.note(time.monotonic(), json.loads(line))
            self.failure = "the watch ended"
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.failure = f"the watch broke: {error}"
        with self.changed:
            self.changed.notify_all()

    def note(self, now, event):
        """Keeps the first time each fact about a pod was seen."""
        pod = event["object"]
        facts = set()
        if event["type"] == "DELETED":
            facts.add("gone")
        status = pod.get("status", {})
        for condition in status.get("conditions", []):
            if condition["type"] == "Ready" and condition["status"] == "True":
                facts.add("ready")
        for container in status.get("containerStatuses", []):
            if "terminated" in container.get("state", {}):
                facts.add("ended")
        with self.changed:
            for fact in facts:
                self.seen.setdefault((pod["metadata"].get("name"), fact), now)
            self.changed.notify_all()

    def wait(self, name, fact):
        """The time at which `fact` about the pod `name` was first seen."""
        with self.changed:
            found = self.changed.wait_for(
                lambda: self.failure or (name, fact) in self.seen, timeout=PATIENCE
            )
        if (name, fact) in self.seen:
            return self.seen[(name, fact)]
        reason = self.failure if found else f"not seen within {PATIENCE} s"
        raise RuntimeError(f"pod {name} is not {fact}: {reason}")


def manifest(name, seconds):
    """A pod of one container that sleeps for `seconds`."""
    container = {"name": "main", "image": IMAGE, "command": ["/bin/sleep", str(seconds)]}
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def process_of(seconds):
    """The host's number of the process `sleep SECONDS`; each pod sleeps for a number of its own.

    `crun start` returns a moment before the container's init becomes its program.
    """
    wanted = f"/bin/sleep\0{seconds}\0".encode()
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    if file.read() == wanted:
                        return int(entry)
            except OSError:
                continue
    raise RuntimeError(f"no process sleeps for {seconds} s")


def in_turn(api, watch):
    """Pods one at a time: milliseconds from creation to Ready, and from exit to status."""
    ready, ended = [], []
    first = 1_000_000_000 + os.getpid() * 1000
    for index in range(PODS_IN_TURN):
        name, seconds = f"turn-{index}", first + index
        start = time.monotonic()
        api.call("POST", PODS, manifest(name, seconds))
        ready.append((watch.wait(name, "ready") - start) * 1000)
        process = process_of(seconds)
        start = time.monotonic()
        os.kill(process, signal.SIGKILL)
        ended.append((watch.wait(name, "ended") - start) * 1000)
        api.call("DELETE", f"{PODS}/{name}")
        watch.wait(name, "gone")
    return ready, ended


def at_once(cluster, watch, number):
    """One round of pods made together: milliseconds from creation to Ready of each."""
    apis = [Api(cluster) for _ in range(AT_ONCE)]
    for api in apis:
        api.call("GET", "/version")
    starts, failures = {}, []
    gate = threading.Barrier(AT_ONCE)

    def create(index):
        name = f"round-{number}-{index}"
        try:
            gate.wait()
            starts[name] = time.monotonic()
            apis[index].call("POST", PODS, manifest(name, 3600))
        except (OSError, RuntimeError) as error:
            failures.append(error)

    threads = [threading.Thread(target=create, args=(index,)) for index in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    times = [(watch.wait(name, "ready") - start) * 1000 for name, start in starts.items()]
    for name in starts:
        apis[0].call("DELETE", f"{PODS}/{name}")
    for name in starts:
        watch.wait(name, "gone")
    return times


def idle(cluster):
    """Percent of one core, and MiB resident, of both daemons with no pod there."""
    time.sleep(5)
    before, start = cluster.daemons(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    after, span = cluster.daemons(), time.monotonic() - start
    return {
        name: {
            "cpu_percent": (after[name]["cpu_seconds"] - before[name]["cpu_seconds"]) / span * 100,
            "resident_mib": after[name]["resident_mib"],
        }
        for name in after
    }


def up_with_demo(cluster):
    """Seconds of `floe up` until the demo is ready, with everything cached."""
    cluster.up()
    cluster.down()
    start = time.monotonic()
    cluster.up()
    seconds = time.monotonic() - start
    cluster.down()
    return seconds


def measure(cluster):
    """All figures of the benchmark."""
    figures = {"up_seconds": up_with_demo(cluster)}
    cluster.up("--no-demo")
    figures["idle"] = idle(cluster)
    cluster.load(busybox_image(cluster, IMAGE))
    api, watch = Api(cluster), Watch(cluster)
    watch.start()
    raw = raw_crun(cluster, RAW_RUNS)
    ready, ended = in_turn(api, watch)
    together = [value for number in range(ROUNDS) for value in at_once(cluster, watch, number)]
    for name, values in [("raw_crun", raw), ("one", ready), ("twenty", together), ("exit", ended)]:
        figures[name] = {f"p{share}_ms": percentile(values, share) for share in (50, 99)}
        figures[name]["samples"] = len(values)
    figures["ratio_to_raw"] = figures["one"]["p50_ms"] / figures["raw_crun"]["p50_ms"]
    figures["above_raw_ms"] = figures["one"]["p50_ms"] - figures["raw_crun"]["p50_ms"]
    figures["resident_after_mib"] = {
        name: facts["resident_mib"] for name, facts in cluster.daemons().items()
    }
    return figures


def rows(figures):
    """The table: what, figure, goal."""

    def pair(name):
        return f"{figures[name]['p50_ms']:.1f} / {figures[name]['p99_ms']:.1f} ms"

    yield "raw `crun run --detach`, p50 / p99", pair("raw_crun"), ""
    yield "pod created to Ready, one at a time, p50 / p99", pair("one"), "p99 < 500 ms"
    yield "... above raw crun, p50", f"{figures['above_raw_ms']:.1f} ms", "< 60 ms"
    yield "... times raw crun, p50", f"{figures['ratio_to_raw']:.1f}", ""
    yield f"pod created to Ready, {AT_ONCE} at once, p50 / p99", pair("twenty"), "p99 < 500 ms"
    yield "container exit to status in the API, p50 / p99", pair("exit"), "p99 < 100 ms"
    for name, facts in figures["idle"].items():
        yield f"{name}, idle CPU", f"{facts['cpu_percent']:.2f} % of a core", "< 1 %"
        yield f"{name}, resident, idle", f"{facts['resident_mib']:.1f} MiB", "< 40 MiB"
        after = figures["resident_after_mib"][name]
        yield f"{name}, resident, after the runs above", f"{after:.1f} MiB", ""
    yield "`floe up` until the demo is ready, root cached", f"{figures['up_seconds']:.1f} s", "< 20 s"


def machine():
    """The machine's processor, cores and kernel."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    model = models[0] if models else "unknown processor"
    return f"{model}, {os.cpu_count()} cores, Linux {os.uname().release.split('-')[0]}"


def report(figures):
    """Prints the table, then the figures as one line of JSON."""
    figures = {
        "benchmark": "pods",
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "sync": "log fsynced before a write is acknowledged",
        "build": os.path.basename(os.environ["FLOE_BIN_DIR"].rstrip("/")),
        **figures,
    }
    for key in ("date", "machine", "sync", "build"):
        print(f"{key + ':':<9}{figures[key]}")
    samples = {name: figures[name]["samples"] for name in ("raw_crun", "one", "twenty", "exit")}
    print("samples: " + ", ".join(f"{name} {count}" for name, count in samples.items()))
    print(f"\n{'':<52} {'figure':>22}  goal")
    for what, figure, goal in rows(figures):
        print(f"{what:<52} {figure:>22}  {goal}".rstrip())
    rounded = json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), 2))
    print(json.dumps(rounded))


def main():
    """Measures on a cluster of its own; it is gone afterwards."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Cluster("bench") as cluster:
        figures = measure(cluster)
    report(figures)


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        sys.exit(f"the benchmark pods failed: {error}")
