"""Services: what a change of one costs beside making the whole table with nft, and what a connection
through a cluster address costs beside one without.

Everything happens in network namespaces of its own: a node with a bridge and two pods, and a plain veth
pair. `program`, an example of the crate agent-proxy, is the agent's own proxy without the API.
Called as a program this file is the server or the client.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SIZES = (1000, 10000)
CHANGES = 1000
PORT = 5201
CLIENT, SERVER = "10.42.0.2", "10.42.0.3"
CLUSTER_IP = "10.43.64.1"
PLAIN = "192.0.2.2"
ROUND_TRIPS = 5000
CONNECTIONS = 500
SECONDS = 2
CHUNK = 1 << 20
NEEDS_CLUSTER = False
NODE = f"bench-services-{os.getpid()}"


def run(*words):
    """Runs a command that must succeed."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def inside(place, *words):
    """Runs a command in a namespace."""
    return run("ip", "netns", "exec", f"{NODE}{place}", *words)


def serve():
    """Answers each byte with a byte; takes in what begins with another letter."""
    server = socket.create_server(("0.0.0.0", PORT), backlog=1024)
    print("ready", flush=True)
    while True:
        stream, _ = server.accept()
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        kind = stream.recv(1)
        buffer = bytearray(CHUNK)
        while kind == b"p" and stream.recv(1):
            stream.send(b"p")
        while kind == b"t" and stream.recv_into(buffer):
            pass
        stream.close()


def connect(address, port, kind):
    """A connection that is measured as `kind`."""
    stream = socket.create_connection((address, port), timeout=5)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.send(kind)
    return stream


def ask(address, port):
    """Prints what connections, round trips and bulk to `address` take."""
    connections = []
    for _ in range(CONNECTIONS):
        begun = time.perf_counter_ns()
        socket.create_connection((address, port), timeout=5).close()
        connections.append((time.perf_counter_ns() - begun) / 1000)
    stream = connect(address, port, b"p")
    trips = []
    for _ in range(ROUND_TRIPS):
        begun = time.perf_counter_ns()
        stream.send(b"p")
        stream.recv(1)
        trips.append((time.perf_counter_ns() - begun) / 1000)
    stream.close()
    stream, sent, data = connect(address, port, b"t"), 0, bytes(CHUNK)
    begun = time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        sent += stream.send(data)
    gigabits = sent * 8 / (time.perf_counter() - begun) / 1e9
    print(json.dumps({
        "connect_p50_us": statistics.median(connections),
        "round_trip_p50_us": statistics.median(trips),
        "gigabits": gigabits,
    }))


def program():
    """The example's path; it is built where it is missing."""
    folder = os.environ["FLOE_BIN_DIR"]
    path = os.path.join(folder, "examples", "program")
    if not os.path.exists(path):
        words = ["cargo", "build", "--locked", "-p", "agent-proxy", "--example", "program"]
        release = ["--release"] if os.path.basename(folder) == "release" else []
        target = os.path.dirname(os.path.abspath(folder))
        subprocess.run(words + release, check=True, env={**os.environ, "CARGO_TARGET_DIR": target})
    return os.path.abspath(path)


def build():
    """The namespaces and their links."""
    for place in ("", "-c", "-s", "-p"):
        run("ip", "netns", "add", f"{NODE}{place}")
        inside(place, "ip", "link", "set", "lo", "up")
    inside("", "ip", "link", "add", "floe0", "type", "bridge")
    inside("", "ip", "addr", "add", "10.42.0.1/24", "dev", "floe0")
    inside("", "ip", "link", "set", "floe0", "up")
    inside("", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    inside("", "sh", "-c", "echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables")
    for place, address in (("-c", CLIENT), ("-s", SERVER)):
        veth = ("type", "veth", "peer", "name", f"pod{place}", "netns", NODE)
        run("ip", "link", "add", "eth0", "netns", f"{NODE}{place}", *veth)
        inside(place, "ip", "addr", "add", f"{address}/24", "dev", "eth0")
        inside(place, "ip", "link", "set", "eth0", "up")
        inside("", "ip", "link", "set", f"pod{place}", "master", "floe0", "up")
        inside(place, "ip", "route", "add", "default", "via", "10.42.0.1")
    run("ip", "link", "add", "plain", "netns", f"{NODE}-p", "type", "veth", "peer", "name", "plain", "netns", f"{NODE}-s")
    for place, address in (("-p", "192.0.2.1"), ("-s", PLAIN)):
        inside(place, "ip", "addr", "add", f"{address}/24", "dev", "plain")
        inside(place, "ip", "link", "set", "plain", "up")


def programming():
    """Milliseconds of changes by size of the table, and of the same table made whole by nft."""
    figures = {}
    for size in SIZES:
        inside("", "nft", "flush", "ruleset")
        answer = inside("", program(), str(size), str(CHANGES), f"{SERVER}:{PORT}")
        figures[size] = json.loads(answer)
        with tempfile.NamedTemporaryFile("w", suffix=".nft") as file:
            file.write("flush ruleset\n" + inside("", "nft", "list", "ruleset"))
            file.flush()
            begun = time.perf_counter()
            inside("", "nft", "-f", file.name)
            figures[size]["whole_nft_ms"] = (time.perf_counter() - begun) * 1000
    return figures


def traffic():
    """What a plain veth, the bridge and a cluster address cost."""
    command = ["ip", "netns", "exec", f"{NODE}-s", sys.executable, os.path.abspath(__file__), "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            server.stdout.readline()
            client = (sys.executable, os.path.abspath(__file__), "ask")
            return {
                "veth": json.loads(inside("-p", *client, PLAIN, str(PORT))),
                "bridge": json.loads(inside("-c", *client, SERVER, str(PORT))),
                "cluster_ip": json.loads(inside("-c", *client, CLUSTER_IP, "80")),
            }
        finally:
            server.kill()


def measure():
    """All figures. Traffic goes through the table of the last size."""
    try:
        build()
        figures = {"programming": programming()}
        figures["traffic"] = traffic()
        return figures
    finally:
        for place in ("", "-c", "-s", "-p"):
            subprocess.run(["ip", "netns", "del", f"{NODE}{place}"], check=False, capture_output=True)


def show(figures):
    """The figures as two tables."""
    print("services: one change programmed, beside the whole table by nft -f (milliseconds)")
    print(f"{'services':>10}{'p50':>10}{'p99':>10}{'nft -f':>10}{'at start':>10}")
    for size, found in figures["programming"].items():
        columns = ("change_p50_ms", "change_p99_ms", "whole_nft_ms", "load_ms")
        print(f"{size:>10}" + "".join(f"{found[column]:>10.2f}" for column in columns))
    print(f"\nservices: pod to pod on one node, with {SIZES[-1]} services")
    print(f"{'':<12}{'connect us':>12}{'round trip us':>15}{'Gbit/s':>9}")
    for name, found in figures["traffic"].items():
        print(f"{name:<12}{found['connect_p50_us']:>12.1f}{found['round_trip_p50_us']:>15.1f}{found['gigabits']:>9.1f}")


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        ask(sys.argv[2], int(sys.argv[3]))
