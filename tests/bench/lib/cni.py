"""CNI: what ADD and DEL take, beside the Go plugins that Debian packages.

Both make the same network in the same namespace in turn: a bridge with the gateway's address,
masquerading and hairpin mode, addresses by host-local. Times are of the whole call as a container
runtime makes it, from the start of the plugin's process to its end.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

NEEDS_CLUSTER = False
ROUNDS = 100
WARM_UP = 5
GO = "/usr/lib/cni"
OURS = ("bridge", "host-local", "loopback", "portmap", "vxlan")
NODE = f"bench-cni-{os.getpid()}"


def run(*words):
    """Runs a command that must succeed."""
    subprocess.run(words, check=True, capture_output=True)


def bridge(name, subnet, folder):
    """Configuration of `bridge` with what a node needs of it."""
    return {
        "cniVersion": "1.0.0",
        "name": name,
        "type": "bridge",
        "bridge": name,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "mtu": 1450,
        "ipam": {
            "type": "host-local",
            "dataDir": folder,
            "ranges": [[{"subnet": subnet}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }


def vxlan(name):
    """Configuration of our `vxlan`, chained."""
    return {
        "cniVersion": "1.0.0",
        "name": name,
        "type": "vxlan",
        "device": "floe.vx",
        "local": "192.0.2.1",
        "subnet": "10.98.0.0/16",
        "mtu": 1450,
    }


def call(plugins, verb, container, config, previous=None):
    """Calls a plugin; returns its answer and the milliseconds it took."""
    netns = f"/run/netns/{NODE}-{container}"
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "CNI_COMMAND": verb,
        "CNI_CONTAINERID": container,
        "CNI_NETNS": netns,
        "CNI_IFNAME": "eth0",
        "CNI_PATH": plugins,
    }
    if previous is not None:
        config = {**config, "prevResult": previous}
    program = os.path.join(plugins, config["type"])
    text = json.dumps(config).encode()
    start = time.perf_counter()
    done = subprocess.run([program], input=text, capture_output=True, env=environment, check=False)
    took = (time.perf_counter() - start) * 1000
    if done.returncode != 0:
        raise RuntimeError(f"{program} {verb}: {(done.stdout + done.stderr).decode()}")
    return (json.loads(done.stdout) if done.stdout.strip() else None), took


def portmap(name, *ports):
    """Configuration of `portmap`, chained, for a container with these host ports."""
    mappings = [{"hostPort": port, "containerPort": 80, "protocol": "tcp"} for port in ports]
    runtime = {"portMappings": mappings}
    return {"cniVersion": "1.0.0", "name": name, "type": "portmap", "snat": True, "runtimeConfig": runtime}


def spawn():
    """Milliseconds of starting a process that does nothing."""
    start = time.perf_counter()
    subprocess.run(["/bin/true"], input=b"", capture_output=True, env={}, check=True)
    return (time.perf_counter() - start) * 1000


def one_round(container, networks, taken):
    """ADD and DEL of one container on each network in turn."""
    taken.setdefault("spawn", []).append(spawn())
    for kind, (plugins, config, chained) in networks.items():
        answer, took = call(plugins, "ADD", container, config)
        taken.setdefault(f"{kind}_add", []).append(took)
        for name, behind in chained.items():
            _, took = call(plugins, "ADD", container, behind, answer)
            taken.setdefault(f"{name}_add", []).append(took)
            _, took = call(plugins, "DEL", container, behind, answer)
            taken.setdefault(f"{name}_del", []).append(took)
        _, took = call(plugins, "DEL", container, config, answer)
        taken.setdefault(f"{kind}_del", []).append(took)


def inside(folder):
    """Measures within the node's namespace; prints the times as JSON."""
    ours = os.path.join(folder, "plugins")
    configured = bridge("bench-ours", "10.98.0.0/16", f"{folder}/ours")
    networks = {
        "ours": (
            ours,
            configured,
            {
                "vxlan": vxlan("bench-ours"),
                "no_port": portmap("bench-ours"),
                "our_port": portmap("bench-ours", 8080),
            },
        ),
        "go": (
            GO,
            bridge("bench-go", "10.99.0.0/16", f"{folder}/go"),
            {"go_port": portmap("bench-go", 8081)},
        ),
    }
    taken = {}
    for number in range(WARM_UP + ROUNDS):
        container = f"c{number}"
        run("ip", "netns", "add", f"{NODE}-{container}")
        try:
            one_round(container, networks, taken)
        finally:
            run("ip", "netns", "del", f"{NODE}-{container}")
    print(json.dumps({name: values[WARM_UP:] for name, values in taken.items()}))


def percentiles(values):
    """Median and 99th percentile, by nearest rank."""
    ordered = sorted(values)
    at = [max(0, -(-len(ordered) * share // 100) - 1) for share in (50, 99)]
    return {"p50_ms": ordered[at[0]], "p99_ms": ordered[at[1]], "samples": len(ordered)}


def measure():
    """Figures of each kind of call, and ours as parts of Go's."""
    if not os.path.exists(f"{GO}/bridge"):
        raise RuntimeError("missing: apt-get install containernetworking-plugins iptables")
    figures = {name: percentiles(values) for name, values in times().items()}
    for verb in ("add", "del"):
        figures[f"{verb}_to_go"] = figures[f"ours_{verb}"]["p50_ms"] / figures[f"go_{verb}"]["p50_ms"]
    return figures


def show(figures):
    """Prints the figures as a table."""
    rows = (
        ("starting a process that does nothing", "spawn", ""),
        ("Go bridge + host-local, ADD", "go_add", ""),
        ("our bridge + host-local, ADD", "ours_add", "a third"),
        ("our vxlan behind it, ADD", "vxlan_add", ""),
        ("our portmap behind it, no port, ADD", "no_port_add", ""),
        ("our portmap behind it, one port, ADD", "our_port_add", "Go's"),
        ("Go portmap behind it, one port, ADD", "go_port_add", ""),
        ("Go bridge + host-local, DEL", "go_del", ""),
        ("our bridge + host-local, DEL", "ours_del", "a third"),
        ("our portmap behind it, one port, DEL", "our_port_del", "Go's"),
        ("Go portmap behind it, one port, DEL", "go_port_del", ""),
    )
    print(f"{'CNI':<40} {'p50 ms':>9} {'p99 ms':>9}  goal")
    for what, name, goal in rows:
        of = figures[name]
        print(f"{what:<40} {of['p50_ms']:9.2f} {of['p99_ms']:9.2f}  {goal}".rstrip())
    print(f"of Go's p50: ADD {figures['add_to_go']:.2f}, DEL {figures['del_to_go']:.2f}")


def times():
    """Milliseconds of each call, by its kind."""
    folder = tempfile.mkdtemp(prefix="floe-bench-cni-")
    program = os.path.join(os.environ["FLOE_BIN_DIR"], "floe-cni")
    os.mkdir(os.path.join(folder, "plugins"))
    for name in OURS:
        os.symlink(os.path.abspath(program), os.path.join(folder, "plugins", name))
    try:
        run("ip", "netns", "add", NODE)
        run("ip", "-n", NODE, "link", "set", "lo", "up")
        run("ip", "-n", NODE, "link", "add", "uplink", "type", "bridge")
        run("ip", "-n", NODE, "addr", "add", "192.0.2.1/24", "dev", "uplink")
        run("ip", "-n", NODE, "link", "set", "uplink", "up")
        command = ["ip", "netns", "exec", NODE, sys.executable, os.path.abspath(__file__), NODE, folder]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            raise RuntimeError("the CNI part failed; what it printed is above")
        return json.loads(done.stdout)
    finally:
        subprocess.run(["ip", "netns", "del", NODE], check=False, capture_output=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    NODE = sys.argv[1]
    inside(sys.argv[2])
