"""The store: Floe's beside etcd, in one run on one disk, both waiting for fsync.

Floe's store runs inside the process that puts the load on it, as it runs inside the API server; etcd is asked
over its own API by the same program. With three servers, the load's process is Floe's leader and the two others are
processes of their own, over mutual TLS; all clients of etcd ask its leader, and its peers speak plain HTTP. FLOE_BENCH_PARTS
names some of the parts.
"""

import contextlib
import datetime
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import groups
import leader
from groups import free_port
from pods import machine

CLIENTS = (1, 64, 512)
SECONDS = 5
ROUNDS = 3
RANGE_KEYS, RANGE_TIMES = 10_000, 30
WATCHERS, WRITES = 1000, 100
MEMORY_KEYS = 100_000
OBJECTS, OBJECT_BYTES = 150_000, 2048
START_KEYS, START_BYTES = 500_000, 2048
PARTS = ("writes", "range", "fanout", "memory", "start", "three", "leader")
PATIENCE = 60


def load_program():
    """The load's program, built where FLOE_BIN_DIR does not have it."""
    program = os.path.join(os.environ["FLOE_BIN_DIR"], "tests-load")
    if not os.path.exists(program):
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "-p", "tests-load"], check=True)
    return program


class Floe:
    """A store in a folder of its own."""

    name = "floe"

    def __init__(self, program):
        self.program = program
        self.folder = tempfile.mkdtemp(prefix="floe-bench-", dir="/var/tmp")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)

    def load(self, *words):
        """The figures of one kind of load."""
        return run(self.program, "--floe", self.folder, *words)

    def start(self):
        """Milliseconds until the first read is answered, and the bytes resident then."""
        begin = time.monotonic()
        figures = self.load("open")
        return (time.monotonic() - begin) * 1e3, figures["resident_bytes"]


class Etcd:
    """One etcd with its data in a folder of its own."""

    name = "etcd"

    def __init__(self, program):
        self.program = program
        self.folder = tempfile.mkdtemp(prefix="floe-bench-", dir="/var/tmp")
        self.url = f"http://127.0.0.1:{free_port()}"
        self.server = None

    def __enter__(self):
        self.begin()
        return self

    def __exit__(self, *_):
        self.end()
        shutil.rmtree(self.folder)

    def begin(self):
        """Starts it and waits until it answers."""
        peer = f"http://127.0.0.1:{free_port()}"
        command = ["etcd", "--data-dir", self.folder, "--listen-client-urls", self.url, "--log-level", "error"]
        command += ["--advertise-client-urls", self.url, "--listen-peer-urls", peer, "--quota-backend-bytes", str(8 << 30)]
        command += ["--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
        self.server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
                if json.load(answer)["health"] == "true":
                    return
            if self.server.poll() is not None:
                raise RuntimeError(f"etcd ended with {self.server.returncode}")
            time.sleep(0.002)
        raise RuntimeError(f"etcd did not answer within {PATIENCE} s")

    def end(self):
        """Stops it."""
        if self.server is not None:
            self.server.terminate()
            self.server.wait(timeout=PATIENCE)
            self.server = None

    def load(self, *words):
        """The figures of one kind of load; resident bytes are etcd's, not the load's."""
        figures = run(self.program, "--etcd", self.url, *words)
        if "resident_bytes" in figures:
            figures["resident_bytes"] = self.resident()
        return figures

    def resident(self):
        """Bytes of memory that the server has."""
        with open(f"/proc/{self.server.pid}/status", encoding="utf-8") as status:
            fields = dict(line.split(":", 1) for line in status)
        return int(fields["VmRSS"].split()[0]) * 1024

    def start(self):
        """Milliseconds until the first read is answered, and the bytes resident then."""
        self.end()
        begin = time.monotonic()
        self.begin()
        self.load("open")
        return (time.monotonic() - begin) * 1e3, self.resident()


class FloeThree(Floe):
    """A store of three servers; the load's process is the leader."""

    def load(self, *words):
        return run(self.program, "--floe", self.folder, "--servers", "3", *words)


class EtcdThree(groups.Etcd):
    """Three of etcd; the load goes to the leader."""

    def __init__(self, program):
        super().__init__()
        self.program = program

    def load(self, *words):
        """The figures of one kind of load."""
        return run(self.program, "--etcd", self.clients[self.settle()], *words)


def run(*words):
    """The figures that the load's program prints."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def both(program, measure, kinds=(Floe, Etcd)):
    """What `measure` finds of each store, each fresh."""
    found = {}
    for kind in kinds:
        with kind(program) as store:
            found[store.name] = measure(store)
    return found


def writes(program, kinds=(Floe, Etcd)):
    """Writes a second and their latency: the median round of each number of clients, in turns."""
    found = {}
    for clients in CLIENTS:
        rounds = [
            both(program, lambda store, n=clients: store.load("writes", "--clients", str(n), "--seconds", str(SECONDS)), kinds)
            for _ in range(ROUNDS)
        ]
        found[clients] = {
            name: sorted((each[name] for each in rounds), key=lambda one: one["per_second"])[ROUNDS // 2]
            for name in ("floe", "etcd")
        }
    return found


def ranges(program):
    """Lists of 10 000 keys."""

    def measure(store):
        store.load("load", "--keys", str(RANGE_KEYS))
        return store.load("range", "--limit", str(RANGE_KEYS), "--times", str(RANGE_TIMES))

    return both(program, measure)


def fanout(program):
    """Delivery of each write to many watchers."""
    return both(program, lambda store: store.load("fanout", "--watchers", str(WATCHERS), "--writes", str(WRITES)))


def memory(program):
    """Bytes resident after many keys."""
    found = both(program, lambda store: store.load("load", "--keys", str(MEMORY_KEYS)))
    with Floe(program) as store:
        found["objects"] = store.load("load", "--keys", str(OBJECTS), "--bytes", str(OBJECT_BYTES))
    return found


def start(program):
    """Time until a store with 1 GB answers."""

    def measure(store):
        store.load("load", "--keys", str(START_KEYS), "--bytes", str(START_BYTES))
        took, resident = store.start()
        return {"ms": took, "resident_bytes": resident}

    return both(program, measure)


def row(text, floe, etcd, ratio, goal=""):
    """One line of the table."""
    print(f"{text:<56}{floe:>16}{etcd:>16}{ratio:>8.2f}  {goal}".rstrip())


def times(latency):
    """Median and 99th percentile as text."""
    return f"{latency['p50_ms']:.2f} / {latency['p99_ms']:.2f}"


def show(name, found):
    """Prints a part's lines and returns its ratios."""
    if name in ("writes", "three"):
        ratios = {}
        suffix, servers = ("_3", ", three servers") if name == "three" else ("", "")
        for clients, pair in found.items():
            floe, etcd = pair["floe"], pair["etcd"]
            ratio = ratios[f"writes_{clients}_ratio{suffix}"] = floe["per_second"] / etcd["per_second"]
            goal = "at least 1" if clients == 1 else "at least 2"
            text = f"writes of 1 KiB a second, {clients} clients{servers}"
            row(text, f"{floe['per_second']:.0f}", f"{etcd['per_second']:.0f}", ratio, goal)
            row("... p50 / p99, ms", times(floe["latency"]), times(etcd["latency"]), floe["latency"]["p99_ms"] / etcd["latency"]["p99_ms"])
        return ratios
    floe, etcd = found["floe"], found["etcd"]
    if name == "range":
        ratio = floe["per_second"] / etcd["per_second"]
        row(f"ranges of {RANGE_KEYS} keys a second", f"{floe['per_second']:.1f}", f"{etcd['per_second']:.1f}", ratio, "at least 2")
        return {"range_ratio": ratio}
    if name == "fanout":
        ratio = floe["events_per_second"] / etcd["events_per_second"]
        row(f"events a second to {WATCHERS} watchers", f"{floe['events_per_second']:.0f}", f"{etcd['events_per_second']:.0f}", ratio, "at least 2")
        row("... delay of one write, p50 / p99, ms", times(floe["delay"]), times(etcd["delay"]), floe["delay"]["p99_ms"] / etcd["delay"]["p99_ms"])
        return {"fanout_ratio": ratio}
    if name == "memory":
        ratio = floe["resident_bytes"] / etcd["resident_bytes"]
        row(f"MiB resident after {MEMORY_KEYS} keys", f"{floe['resident_bytes'] / 2**20:.0f}", f"{etcd['resident_bytes'] / 2**20:.0f}", ratio, "at most 0.5")
        mebibytes, most = found["objects"]["resident_bytes"] / 2**20, 1.2 * OBJECTS * OBJECT_BYTES / 2**20 + 200
        row(f"... after {OBJECTS} of {OBJECT_BYTES // 1024} KiB", f"{mebibytes:.0f}", "", mebibytes / most, f"at most {most:.0f} MiB")
        return {"memory_ratio": ratio}
    if name == "leader":
        floe, etcd = floe["latency"], etcd["latency"]
        text = f"ms without writes, leader killed, p50 of {leader.RUNS}"
        row(text, f"{floe['p50_ms']:.0f}", f"{etcd['p50_ms']:.0f}", floe["p50_ms"] / etcd["p50_ms"])
        row("... p99", f"{floe['p99_ms']:.0f}", f"{etcd['p99_ms']:.0f}", floe["p99_ms"] / etcd["p99_ms"], "at most 2000 ms")
        return {"leader_loss_p99_ms": floe["p99_ms"], "leader_loss_ratio": floe["p99_ms"] / etcd["p99_ms"]}
    row("ms from start to the first read, 1 GB", f"{floe['ms']:.0f}", f"{etcd['ms']:.0f}", floe["ms"] / etcd["ms"])
    return {"start_ratio": floe["ms"] / etcd["ms"]}


def main():
    """Measures and prints the table, then the figures as one line of JSON."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = os.environ.get("FLOE_BENCH_PARTS", "").replace(",", " ").split() or PARTS
    if unknown := [name for name in chosen if name not in PARTS]:
        raise RuntimeError(f"no part is called {unknown[0]}; parts are {' '.join(PARTS)}")
    if shutil.which("etcd") is None:
        raise RuntimeError("etcd is missing; install the package etcd-server")
    program = load_program()
    version = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    figures = {
        "benchmark": "store",
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "sync": "both wait for fsync",
        "peer": version,
    }
    for key in ("date", "machine", "sync", "peer"):
        print(f"{key + ':':<9}{figures[key]}")
    print(f"\n{'one server where nothing else is said':<56}{'Floe':>16}{'etcd':>16}{'ratio':>8}  goal")
    measures = {"writes": writes, "range": ranges, "fanout": fanout, "memory": memory, "start": start}
    measures |= {"three": functools.partial(writes, kinds=(FloeThree, EtcdThree)), "leader": lambda _: leader.measure()}
    for name in chosen:
        found = measures[name](program)
        figures |= show(name, found)
        figures[name] = found
    print(json.dumps(json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), 3))))


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError) as error:
        sys.exit(f"the benchmark store failed: {error}")
