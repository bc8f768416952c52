"""How long a group of three servers takes no writes after its leader was killed."""

import contextlib
import http.client
import threading
import time

from groups import COUNT, Etcd, Floe

RUNS = 50
# Writers through each server that is left, and how long one waits until it tries again.
WRITERS, PATIENCE = 3, 0.3
LONGEST = 30


class Survivors:
    """Writes through every server but one, again and again, until told to end."""

    def __init__(self, group, dead, run):
        self.group, self.run = group, run
        self.acknowledged = []
        self.end = threading.Event()
        self.first = threading.Event()
        self.killed = None
        left = [index for index in range(COUNT) if index != dead]
        self.threads = [
            threading.Thread(target=self.write, args=(index, number), daemon=True)
            for index in left
            for number in range(WRITERS)
        ]

    def write(self, index, number):
        """One writer; those of a server begin one after the other."""
        time.sleep(PATIENCE * number / WRITERS)
        attempt = 0
        while not self.end.is_set():
            attempt += 1
            name, began = f"leader-{self.run}-{index}-{number}-{attempt}", time.monotonic()
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                if self.group.write(index, name, PATIENCE) and self.killed is not None and began >= self.killed:
                    self.acknowledged.append(time.monotonic())
                    self.first.set()
                    return
            # A server that refuses at once is not asked in a tight loop.
            time.sleep(0.01)


def one(group, run):
    """Milliseconds from the death of the leader to the first write that began and was acknowledged after it."""
    dead = group.settle()
    survivors = Survivors(group, dead, run)
    for thread in survivors.threads:
        thread.start()
    # The writers are under way, and the leader dies at no particular moment of its heartbeat.
    time.sleep(0.5 + 0.013 * run)
    killed = group.kill(dead)
    survivors.killed = killed
    if not survivors.first.wait(LONGEST):
        raise RuntimeError(f"{group.name}: no write within {LONGEST} s after the leader was killed")
    survivors.end.set()
    for thread in survivors.threads:
        thread.join()
    group.start(dead)
    return (min(survivors.acknowledged) - killed) * 1e3


def measure():
    """What is lost with each of fifty leaders, of Floe and etcd in turns."""
    with Floe() as floe, Etcd() as etcd:
        took = {"floe": [], "etcd": []}
        for run in range(RUNS):
            for group in (floe, etcd):
                took[group.name].append(one(group, run))
    return {name: {"runs": RUNS, "latency": summary(times)} for name, times in took.items()}


def summary(times):
    """The median, the 99th percentile by nearest rank, and the longest."""
    times = sorted(times)

    def at(share):
        return times[max(1, -(-len(times) * share // 100)) - 1]

    return {"p50_ms": at(50), "p99_ms": at(99), "max_ms": times[-1]}
