"""Network: CNI calls, names, and whatever other part says of itself.

A part is a module of `lib` with `measure(cluster)`, which returns its figures, and `show(figures)`,
which prints them as a table; where `NEEDS_CLUSTER` is false it is given none. FLOE_BENCH_PARTS names
some of them. The cluster is the benchmark's own and is taken down whatever happens.
"""

import contextlib
import datetime
import http.client
import importlib
import json
import os
import signal
import sys

from cluster import Cluster
from pods import machine

PARTS = ("cni", "overlay", "services", "dns")
NODES = "3"


def chosen():
    """The parts to run: all, or those that FLOE_BENCH_PARTS names."""
    names = os.environ.get("FLOE_BENCH_PARTS", "").replace(",", " ").split() or PARTS
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise RuntimeError(f"no part is called {unknown[0]}; parts are {' '.join(PARTS)}")
    return {name: importlib.import_module(name) for name in names}


def measure(parts):
    """The figures of each part, in turn: nothing runs beside."""
    with contextlib.ExitStack() as stack:
        cluster = None
        for name, part in parts.items():
            needs = getattr(part, "NEEDS_CLUSTER", True)
            if needs and cluster is None:
                cluster = stack.enter_context(Cluster("bench"))
                cluster.up("--no-demo", "--nodes", NODES)
            yield name, part.measure(cluster) if needs else part.measure()


def main():
    """Measures and prints the tables, then the figures as one line of JSON."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parts = chosen()
    figures = {
        "benchmark": "network",
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "build": os.path.basename(os.environ["FLOE_BIN_DIR"].rstrip("/")),
    }
    for key in ("date", "machine", "build"):
        print(f"{key + ':':<9}{figures[key]}")
    for name, found in measure(parts):
        print()
        parts[name].show(found)
        figures[name] = found
    rounded = json.loads(json.dumps(figures), parse_float=lambda text: round(float(text), 3))
    print(json.dumps(rounded))


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        sys.exit(f"the benchmark network failed: {error}")
