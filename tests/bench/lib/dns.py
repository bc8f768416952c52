"""DNS: how fast a node answers, beside Debian's dnsmasq and unbound on the same node.

All three answer a name of their own and a name that they asked an upstream for once. The clients run in
the node's network namespace: one question at a time for latency, dnsperf for questions a second.
Called as a program this file is the client and the upstream.
"""

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

OURS = "10.43.0.10"
UPSTREAM = "127.0.0.77"
PEERS = {"dnsmasq": "127.0.0.71", "unbound": "127.0.0.72"}
OWN_NAME = "kubernetes.default.svc.cluster.local"
OTHER_NAME = "www.example.com"
QUESTIONS = 5000
SECONDS = 3
PACKAGES = {"dnsmasq": "dnsmasq-base", "unbound": "unbound", "dnsperf": "dnsperf"}

UNBOUND = f"""server:
  interface: {PEERS["unbound"]}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  chroot: ""
  username: ""
  directory: "{{folder}}"
  pidfile: ""
  use-syslog: no
  do-not-query-localhost: no
  module-config: "iterator"
  num-threads: 1
  local-data: "{OWN_NAME}. 5 IN A 10.43.0.1"
forward-zone:
  name: "."
  forward-addr: {UPSTREAM}
remote-control:
  control-enable: no
"""


def encode(name):
    """A question for the address of `name`, without its id."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)


def upstream(address):
    """Answers every question with one address that may be kept for an hour."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    print("ready", flush=True)
    while True:
        query, client = server.recvfrom(4096)
        end = query.index(b"\0", 12) + 5
        header = query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
        answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 3600, 4) + bytes([192, 0, 2, 80])
        server.sendto(header + query[12:end] + answer, client)


def client(address, name):
    """Prints the microseconds of each of many questions, asked one after the other."""
    question = encode(name)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.settimeout(5)
    server.connect((address, 53))
    taken = []
    for number in range(QUESTIONS + 100):
        packet = struct.pack("!H", number) + question
        begun = time.perf_counter_ns()
        server.send(packet)
        answer = server.recv(4096)
        taken.append((time.perf_counter_ns() - begun) / 1000)
        if answer[:2] != packet[:2] or answer[3] & 15 or answer[6:8] == b"\0\0":
            raise RuntimeError(f"{address} does not answer {name}: {answer!r}")
    print(json.dumps(taken[100:]))


class Node:
    """Commands of this host's in the network namespace of a cluster's node."""

    def __init__(self, cluster):
        wanted = cluster.shell("readlink /proc/1/ns/net").decode().strip()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/ns/net") == wanted:
                    self.prefix = ["nsenter", f"--target={pid}", "--net", "--"]
                    return
            except OSError:
                continue
        raise RuntimeError("the node's network namespace is not found")

    def start(self, *words):
        """Starts a program that the caller ends."""
        return subprocess.Popen(
            [*self.prefix, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def run(self, *words):
        """What a program prints that must succeed."""
        done = subprocess.run([*self.prefix, *words], capture_output=True, check=False, text=True)
        if done.returncode:
            raise RuntimeError(f"{words[0]}: {done.stdout}{done.stderr}")
        return done.stdout


def figures(node, address, name):
    """Latency in microseconds, and questions a second with many under way."""
    for _ in range(50):
        try:
            taken = sorted(json.loads(node.run(sys.executable, __file__, "client", address, name)))
            break
        except RuntimeError:
            time.sleep(0.2)
    else:
        raise RuntimeError(f"{address} does not answer {name}")
    with tempfile.NamedTemporaryFile("w") as questions:
        questions.write(f"{name} A\n")
        questions.flush()
        text = node.run(
            *f"dnsperf -s {address} -d {questions.name} -l {SECONDS} -c 4 -q 64".split()
        )
    return {
        "p50_us": round(taken[len(taken) // 2], 1),
        "p99_us": round(taken[len(taken) * 99 // 100], 1),
        "queries_per_second": round(float(re.search(r"Queries per second:\s+([\d.]+)", text).group(1))),
        "lost": int(re.search(r"Queries lost:\s+(\d+)", text).group(1)),
    }


def peer(node, name, folder):
    """Starts Debian's `name`, answering what the agent answers."""
    if name == "unbound":
        path = os.path.join(folder, "unbound.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(UNBOUND.format(folder=folder))
        return node.start("unbound", "-d", "-c", path)
    return node.start(
        *"dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces".split(),
        *"--cache-size=10000 --local-ttl=5 --user=root --pid-file=".split(),
        f"--listen-address={PEERS[name]}",
        f"--server={UPSTREAM}",
        f"--host-record={OWN_NAME},10.43.0.1",
    )


def measure(cluster):
    """Figures of the agent and of each peer: for its own name and for a kept answer."""
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if missing:
        raise RuntimeError(f"missing: apt-get install {' '.join(missing)}")
    node = Node(cluster)
    folder = tempfile.mkdtemp(prefix="floe-bench-dns-")
    started = [node.start(sys.executable, __file__, "upstream", UPSTREAM)]
    try:
        started[0].stdout.readline()
        cluster.shell(f"echo nameserver {UPSTREAM} > /etc/resolv.conf")
        servers = {"floe": OURS}
        for name, address in PEERS.items():
            started.append(peer(node, name, folder))
            servers[name] = address
        return {
            name: {
                "own": figures(node, address, OWN_NAME),
                "cached": figures(node, address, OTHER_NAME),
            }
            for name, address in servers.items()
        }
    finally:
        for process in started:
            process.terminate()
            process.wait()
        shutil.rmtree(folder)


def show(results):
    """Prints the figures as a table."""
    print(f"{'DNS':10} {'name':8} {'p50 us':>8} {'p99 us':>8} {'queries/s':>10} {'lost':>6}")
    for server, kinds in results.items():
        for kind, of in kinds.items():
            print(
                f"{server:10} {kind:8} {of['p50_us']:8} {of['p99_us']:8} "
                f"{of['queries_per_second']:10} {of['lost']:6}"
            )


if __name__ == "__main__":
    {"client": client, "upstream": upstream}[sys.argv[1]](*sys.argv[2:])
