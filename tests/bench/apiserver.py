"""The API server: creates, updates, gets, lists, watches, its start and its memory.

One `floe-controlplane` with state on disk and fsync on, as it is installed; the load comes over TLS from another
process on the same processors. FLOE_BENCH_PARTS names some of the parts. No peer runs beside it, since there is no
package of one: the figures in the column `upstream` were measured with kube-apiserver 1.36 and etcd 3.5.30 on a
machine of the same kind.
"""

import contextlib
import datetime
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from pods import machine

CLIENTS = (1, 16, 64)
SECONDS = 5
ROUNDS = 3
VERBS = ("create", "update", "get")
LISTED = (10_000, 100_000)
FORMS = ("full", "pages", "metadata", "table")
WATCHERS = (1, 100, 500, 1000, 10_000)
WRITES = 100
STARTS = (0, 100_000)
PARTS = ("verbs", "lists", "watches", "start", "memory")
PATIENCE = 120
# Rates a second, by verb and clients; milliseconds, by what is listed or watched.
UPSTREAM = {
    ("create", 1): 800, ("create", 16): 2020, ("create", 64): 2250,
    ("update", 1): 749, ("update", 64): 1549,
    ("get", 1): 1154, ("get", 16): 2665, ("get", 64): 2838,
    ("list", 10_000): 89,
    ("watch", 1): 6.6, ("watch", 100): 9.4, ("watch", 500): 17.7,
}


def load_program():
    """The load's program, built where FLOE_BIN_DIR does not have it."""
    program = os.path.join(os.environ["FLOE_BIN_DIR"], "tests-apiload")
    if not os.path.exists(program):
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "-p", "tests-apiload"], check=True)
    return program


class Server:
    """A `floe-controlplane` with its state in a folder of its own."""

    def __init__(self, program, components):
        self.program = program
        self.folder = tempfile.mkdtemp(prefix="floe-bench-", dir="/var/tmp")
        self.port = free_port()
        self.config = os.path.join(self.folder, "controlplane.toml")
        self.kubeconfig = os.path.join(self.folder, "state/kubeconfig/admin.kubeconfig")
        self.child = None
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f'state_dir = "{self.folder}/state"\nlisten = "127.0.0.1:{self.port}"\nlog = "warn"\n')
            file.write(f'peer_listen = "127.0.0.1:{free_port()}"\ncomponents = {json.dumps(components)}\n')

    def __enter__(self):
        self.begin()
        return self

    def __exit__(self, *_):
        self.end()
        shutil.rmtree(self.folder)

    def begin(self):
        """Starts it, waits until it is ready, and returns how many milliseconds that took.

        The daemon says so itself, as it does to systemd: sd_notify(3).
        """
        address = os.path.join(self.folder, "notify")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(address)
            notify.settimeout(PATIENCE)
            daemon = os.path.join(os.environ["FLOE_BIN_DIR"], "floe-controlplane")
            environment = {**os.environ, "NOTIFY_SOCKET": address}
            start = time.monotonic()
            self.child = subprocess.Popen([daemon, "--config", self.config], env=environment)
            while b"READY=1" not in notify.recv(4096):
                pass
            return (time.monotonic() - start) * 1e3

    def end(self):
        """Stops it as systemd does."""
        if self.child is not None:
            self.child.terminate()
            self.child.wait(timeout=PATIENCE)
            self.child = None

    def load(self, *words):
        """The figures of one kind of load."""
        command = [self.program, "--kubeconfig", self.kubeconfig, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def memory(self, field="VmRSS"):
        """MiB that the daemon has resident; `VmHWM` is the most since `forget_peak`."""
        with open(f"/proc/{self.child.pid}/status", encoding="utf-8") as status:
            fields = dict(line.split(":", 1) for line in status)
        return int(fields[field].split()[0]) / 1024

    def forget_peak(self):
        """Begins a new measurement of `VmHWM`: proc(5), clear_refs."""
        with open(f"/proc/{self.child.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")


def free_port():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def row(text, value, upstream=None, goal=""):
    """One line of the table."""
    print(f"{text:<50}{value:>24}{'' if upstream is None else upstream:>12}  {goal}".rstrip(), flush=True)


def times(latency):
    """Median and 99th percentile as text."""
    return f"{latency['p50_ms']:.2f} / {latency['p99_ms']:.2f}"


def verbs(program):
    """Requests a second of each verb and number of clients: the median of some rounds."""
    goals = {("create", 64): "9000, p99 20 ms", ("get", 64): "20000"}
    found = {}
    for verb in VERBS:
        for clients in CLIENTS:
            rounds = []
            for index in range(ROUNDS):
                with Server(program, ["apiserver"]) as server:
                    rounds.append(server.load("verb", "--verb", verb, "--clients", clients, "--seconds", SECONDS, "--prefix", f"r{index}"))
            one = sorted(rounds, key=lambda figures: figures["per_second"])[ROUNDS // 2]
            found[f"{verb}_{clients}"] = one
            row(f"{verb} of 1 KiB a second, {clients} clients", f"{one['per_second']:.0f}", UPSTREAM.get((verb, clients)), goals.get((verb, clients), ""))
            row("... p50 / p99, ms", times(one["latency"]))
    return found


def lists(program):
    """Lists of ConfigMaps and pods, with the most memory that the server had meanwhile."""
    found = {}
    with Server(program, ["apiserver"]) as server:
        server.load("fill", "--kind", "configmaps", "--count", LISTED[0])
        for clients in (1, 4):
            one = server.load("list", "--kind", "configmaps", "--form", "full", "--times", 40, "--clients", clients)
            found[f"configmaps_{LISTED[0]}_{clients}"] = one
            upstream, goal = (UPSTREAM[("list", LISTED[0])], "p50 15 ms") if clients == 1 else (333, "")
            row(f"list of {LISTED[0]} ConfigMaps, {clients} clients, p50 / p99, ms", times(one["latency"]), upstream, goal)
    with Server(program, ["apiserver"]) as server:
        made = 0
        for count in LISTED:
            server.load("fill", "--kind", "pods", "--count", count - made, "--from", made)
            made = count
            for form in FORMS:
                before = server.memory()
                server.forget_peak()
                one = server.load("list", "--kind", "pods", "--form", form, "--times", 10)
                one["peak_mebibytes"] = server.memory("VmHWM") - before
                found[f"pods_{count}_{form}"] = one
                row(f"list of {count} pods, {form}, p50 / p99, ms", times(one["latency"]))
                row("... MiB of answer / most memory above idle", f"{one['bytes'] / 2**20:.1f} / {one['peak_mebibytes']:.1f}")
    return found


def watches(program):
    """From a write until each watcher, and the last of them, has it."""
    found = {}
    with Server(program, ["apiserver"]) as server:
        for watchers in WATCHERS:
            one = server.load("watch", "--watchers", watchers, "--writes", WRITES)
            found[watchers] = one
            goal = "p99 5 ms" if watchers == 500 else ""
            row(f"write to event, {watchers} watchers, p50 / p99, ms", times(one["each"]), UPSTREAM.get(("watch", watchers)), goal)
            row("... to the last watcher", times(one["last"]))
    return found


def start(program):
    """Milliseconds from the start of the process to READY=1: the median of some starts."""
    found = {}
    with Server(program, ["apiserver", "controllers", "scheduler"]) as server:
        made = 0
        for count in STARTS:
            if count > made:
                server.load("fill", "--kind", "configmaps", "--count", count - made, "--from", made)
                made = count
            taken = []
            for _ in range(5):
                server.end()
                taken.append(server.begin())
            found[count] = sorted(taken)[2]
            row(f"start to ready with {count} objects, ms", f"{found[count]:.0f}", "1800-2500", "300")
    return found


def memory(program):
    """MiB of the whole control plane: idle, with 10 000 pods, with 50 000 objects."""
    found = {}
    with Server(program, ["apiserver", "controllers", "scheduler"]) as server:
        time.sleep(3)
        found["idle"] = server.memory()
        row("MiB resident, idle", f"{found['idle']:.1f}", 500, "60")
        server.load("fill", "--kind", "configmaps", "--count", 50_000)
        time.sleep(3)
        found["objects_50000"] = server.memory()
        row("MiB resident with 50 000 ConfigMaps of 1 KiB", f"{found['objects_50000']:.1f}", "1000-1300", "200")
    with Server(program, ["apiserver"]) as server:
        server.load("fill", "--kind", "pods", "--count", 10_000)
        time.sleep(3)
        found["pods_10000"] = server.memory()
        row("MiB resident with 10 000 pods, API server only", f"{found['pods_10000']:.1f}")
    return found


def main():
    """Measures and prints the table, then the figures as one line of JSON."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = os.environ.get("FLOE_BENCH_PARTS", "").replace(",", " ").split() or PARTS
    if unknown := [name for name in chosen if name not in PARTS]:
        raise RuntimeError(f"no part is called {unknown[0]}; parts are {' '.join(PARTS)}")
    # Ten thousand watchers are as many sockets on either side.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    program = load_program()
    figures = {
        "benchmark": "apiserver",
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "sync": "every write waits for fsync",
    }
    for key in ("date", "machine", "sync"):
        print(f"{key + ':':<9}{figures[key]}")
    print(f"\n{'one server, load on the same machine':<50}{'Floe':>24}{'upstream':>12}  goal")
    measures = {"verbs": verbs, "lists": lists, "watches": watches, "start": start, "memory": memory}
    for name in chosen:
        figures[name] = measures[name](program)
    print(json.dumps(json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), 3))))


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError) as error:
        sys.exit(f"the benchmark apiserver failed: {error}")
