"""Runs clients of the API on one cluster and compares what they did with what is written beside them."""

import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

from cluster import Cluster
import image
import table
import transcript

HERE = os.path.dirname(os.path.abspath(__file__))
CLUSTER = os.environ.get("FLOE_TEST_CLUSTER", "clients")
# Bounds a client that hangs, on slow machines, too.
PATIENCE = 1800


class Setting:
    """The cluster, and a home for one client after the other."""

    def __init__(self, cluster, folder):
        self.cluster = cluster
        self.folder = folder

    def home(self, client):
        """An empty home folder with a kubeconfig of its own, and the environment that points to it."""
        home = os.path.join(self.folder, client)
        os.makedirs(home)
        config = self.cluster.floe("kubeconfig").decode()
        context = f"kubernetes-admin@{self.cluster.name}"
        path = os.path.join(home, "kubeconfig")
        with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            file.write(config.replace(context, "floe"))
        tools = os.path.join(os.environ["FLOE_CLIENT_TOOLS"], "bin-1.20" if client == "kubectl-1.20" else "bin")
        # rustup and cargo look into the home folder where they are not told.
        rust = {key: os.environ.get(key, os.path.expanduser(f"~/.{folder}")) for key, folder in (("CARGO_HOME", "cargo"), ("RUSTUP_HOME", "rustup"))}
        return {
            **rust, "PATH": f"{tools}:{os.environ['PATH']}", "HOME": home, "KUBECONFIG": path, "NODE": self.cluster.node,
            "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
        }


def output(command, environment, folder):
    """What a program prints, and how it ended."""
    done = subprocess.run(command, env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=PATIENCE, check=False)
    return done.stdout.decode(errors="replace"), done.returncode


def told(text, code):
    """The outcomes that a program told in lines `passed NAME` and `failed NAME: WHY`."""
    found = {}
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "passed":
            found[rest] = None
        elif word == "failed":
            name, _, why = rest.partition(": ")
            found[name] = why or "failed"
    if code != 0 or not found:
        raise RuntimeError(f"exit code {code}: {text.strip()[-2000:]}")
    return found


def collected(path):
    """The outcomes in a report of pytest."""
    found = {}
    for case in xml.parse(path).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
        why = f"{bad[0].tag}: {(bad[0].get('message') or '').splitlines()[0]}" if bad else None
        # One that failed both in itself and in its end is there twice.
        found[name] = found.get(name) or why
    return dict(sorted(found.items()))


def kubectl(setting):
    """Every command of kubectl's help."""
    environment = setting.home("kubectl")
    path = os.path.join(HERE, "kubectl.transcript")
    rows, differences = transcript.run(path, environment, environment["HOME"])
    missing = uncalled(path, environment)
    return rows, differences + [f"{path}: does not call `kubectl {name}`, which the help names" for name in missing]


def helped(words, environment):
    """The commands that the help of `kubectl WORDS` names."""
    text, _ = output(["kubectl", *words, "--help"], environment, environment["HOME"])
    names, inside = [], False
    for line in text.splitlines():
        if not line.startswith(" "):
            inside = "Commands" in line
        elif inside and line.split():
            names.append(line.split()[0])
    return names


def uncalled(path, environment):
    """Commands and subcommands of the help that no step of a transcript calls."""
    calls = "\n".join(transcript.commands(path))
    missing = []
    for name in helped([], environment):
        below = [[name, sub] for sub in helped([name], environment)]
        missing += [" ".join(words) for words in below or [[name]] if f"kubectl {' '.join(words)}" not in calls]
    return missing


def transcribed(client):
    """A client that is driven by its transcript alone."""

    def run(setting):
        environment = setting.home(client)
        return transcript.run(os.path.join(HERE, f"{client}.transcript"), environment, environment["HOME"])

    return run


def node(setting):
    """@kubernetes/client-node, by its examples' calls."""
    environment = setting.home("node")
    folder = os.path.join(os.environ["FLOE_CLIENT_TOOLS"], "node")
    shutil.copy(os.path.join(HERE, "node/calls.mjs"), folder)
    return table.compare(os.path.join(HERE, "node.table"), told(*output(["node", "calls.mjs"], environment, folder)))


def pytest(setting, client, folder, arguments, more):
    """A Python client's tests, run by pytest."""
    environment = {**setting.home(client), **more}
    report = os.path.join(environment["HOME"], "report.xml")
    python = os.path.join(os.environ["FLOE_CLIENT_TOOLS"], "python/bin/python")
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={report}", *arguments]
    text, _ = output(command, environment, folder)
    if not os.path.exists(report):
        raise RuntimeError(f"{client}: no report: {text[-2000:]}")
    return table.compare(os.path.join(HERE, f"{client}.table"), collected(report))


def kr8s(setting):
    """kr8s' own tests, from its source distribution."""
    folder = os.path.join(os.environ["FLOE_CLIENT_TOOLS"], "kr8s")
    # Its tests look at the pods that clusters have of themselves.
    home = setting.home("kr8s-system")
    for words in (["run", "system", "--image=busybox:stable", "--", "sleep", "3600"],
                  ["wait", "--for=condition=Ready", "pod/system", "--timeout=90s"]):
        said, code = output(["kubectl", "--namespace", "kube-system", *words], home, folder)
        if code != 0:
            raise RuntimeError(f"kubectl {' '.join(words)}: {said}")
    arguments = ["-p", "pytest_kind.plugin", "-o", "addopts=--keep-cluster", "-o", "timeout=60", "kr8s"]
    return pytest(setting, "kr8s", folder, arguments, {"PYTHONPATH": os.path.join(HERE, "python")})


def python(setting):
    """The Python client: its tests of the dynamic client, and calls of its end-to-end tests."""
    tests = ["-p", "e2e_cluster", "test_calls.py", "--pyargs", "kubernetes.dynamic.test_client", "kubernetes.dynamic.test_discovery"]
    folder = os.path.join(HERE, "python")
    return pytest(setting, "python", folder, tests, {"PYTHONPATH": folder})


def kube(setting):
    """The cluster tests of the Rust client, in its published sources."""
    environment = setting.home("kube")
    environment["CARGO_TARGET_DIR"] = os.path.dirname(os.environ["FLOE_BIN_DIR"])
    features = "client,rustls-tls,ws,ring,jsonpatch"
    command = ["cargo", "test", "--lib", "--no-default-features", "--features", features, "--", "--ignored"]
    text, _ = output(command, environment, os.path.join(os.environ["FLOE_CLIENT_TOOLS"], "kube-client"))
    lines = [line.removeprefix("test ").split(" ... ") for line in text.splitlines() if line.startswith("test ") and " ... " in line]
    if not lines:
        raise RuntimeError(f"kube: no tests: {text[-2000:]}")
    found = {name: None if end == "ok" else reason(text, name) for name, end in sorted(lines)}
    return table.compare(os.path.join(HERE, "kube.table"), found)


def reason(text, name):
    """What a Rust test printed when it failed."""
    begin = text.find(f"---- {name} stdout ----")
    return " ".join(text[begin:].splitlines()[1:5]) if begin >= 0 else "failed"


CLIENTS = {"kubectl": kubectl, "kubectl-1.20": transcribed("kubectl-1.20"), "helm": transcribed("helm"), "node": node,
           "python": python, "kr8s": kr8s, "kube": kube}
# Clients whose outcomes are rows of a table; the others have transcripts.
TABLES = ("node", "python", "kr8s", "kube")


def show(client, rows, differences, seconds):
    """Prints a client's table and its counts."""
    print(f"\n-- {client}", flush=True)
    for passed, name, text in rows:
        word = "passed" if passed else "not applicable" if client in TABLES else "differs"
        print(f"{word:<15}{name[:90]}{'  ' + text[:100] if text else ''}")
    passed = sum(row[0] for row in rows)
    print(f"{client}: {passed} of {len(rows)} passed, {len(differences)} differ from what is written, {seconds:.0f} s", flush=True)
    for difference in differences:
        print(difference, file=sys.stderr)


def main(names):
    """Runs the clients `names`, or all; returns the exit code."""
    for name in names:
        if name not in CLIENTS:
            print(f"unknown client {name}; clients are {' '.join(CLIENTS)}", file=sys.stderr)
            return 2
    differing = run(names or CLIENTS)
    if differing:
        # What differs by chance is told apart from what differs: each such client runs once more, on a new cluster.
        print(f"\nonce more: {' '.join(differing)}", flush=True)
        differing = run(differing)
    return int(bool(differing))


def run(names):
    """Runs clients on a cluster of their own; answers with those that differ from what is written."""
    differing = []
    with Cluster(CLUSTER) as cluster:
        cluster.up("--no-demo")
        cluster.load(image.make(cluster, cluster.folder))
        setting = Setting(cluster, cluster.folder)
        for name in names:
            began = time.monotonic()
            rows, differences = CLIENTS[name](setting)
            show(name, rows, differences, time.monotonic() - began)
            if differences:
                differing.append(name)
    return differing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
