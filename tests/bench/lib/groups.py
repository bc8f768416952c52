"""Groups of three servers as real processes: Floe's daemons, and etcd."""

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

from cluster import credentials

COUNT = 3
PATIENCE = 60


def free_port():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait(what, condition):
    """The first true answer of `condition`, which may fail until then."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, KeyError):
            if answer := condition():
                return answer
        time.sleep(0.02)
    raise RuntimeError(f"not within {PATIENCE} s: {what}")


class Group:
    """Three servers, each a process with a folder of its own; leaving the context ends and removes them."""

    name = ""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="floe-bench-", dir="/var/tmp")
        self.processes = [None] * COUNT

    def __enter__(self):
        try:
            self.begin_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for index, process in enumerate(self.processes):
            if process is not None:
                self.kill(index)
        shutil.rmtree(self.folder)

    def start(self, index):
        """Starts one server."""
        with open(os.path.join(self.folder, f"log-{index}"), "ab") as log:
            self.processes[index] = subprocess.Popen(self.command(index), stdout=log, stderr=log)

    def kill(self, index):
        """Ends one server by SIGKILL, and returns when that was."""
        process, self.processes[index] = self.processes[index], None
        process.send_signal(signal.SIGKILL)
        at = time.monotonic()
        process.wait()
        return at

    def begin_all(self):
        """Starts all, and waits until they are one group."""
        raise NotImplementedError

    def command(self, index):
        """The words that start one server."""
        raise NotImplementedError

    def leader(self):
        """Which one leads."""
        raise NotImplementedError

    def answers(self, index):
        """Whether one server serves reads that are up to date."""
        raise NotImplementedError

    def write(self, index, name, seconds):
        """Whether a write through one server was acknowledged within `seconds`."""
        raise NotImplementedError

    def settle(self):
        """Waits until all take part, and returns which one leads."""
        for index in range(COUNT):
            wait(f"server {index} of {self.name} answers", lambda index=index: self.answers(index))
        return wait(f"{self.name} has a leader", lambda: self.leader() is not None and [self.leader()])[0]


class Floe(Group):
    """Three of `floe-controlplane`, with all their parts."""

    name = "floe"

    def __init__(self):
        super().__init__()
        self.ports = [(free_port(), free_port()) for _ in range(COUNT)]
        self.tls = None

    def state(self, index):
        """One server's folder."""
        return os.path.join(self.folder, str(index))

    def command(self, index):
        api, peers = self.ports[index]
        keys = {
            "state_dir": self.state(index),
            "server_name": f"server-{index}",
            "listen": f"127.0.0.1:{api}",
            "peer_listen": f"127.0.0.1:{peers}",
        }
        if index > 0:
            keys |= {"join": f"127.0.0.1:{self.ports[0][1]}", "join_token_file": os.path.join(self.state(0), "join-token")}
        config = os.path.join(self.folder, f"{index}.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.writelines(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        return [os.path.join(os.environ["FLOE_BIN_DIR"], "floe-controlplane"), "--config", config]

    def begin_all(self):
        for index in range(COUNT):
            self.start(index)
            if index == 0:
                kubeconfig = os.path.join(self.state(0), "kubeconfig", "admin.kubeconfig")
                wait("the first server makes a kubeconfig", lambda: os.path.exists(kubeconfig))
                with open(kubeconfig, encoding="utf-8") as file:
                    self.tls, _ = credentials(file.read(), self.folder)
            wait("the servers vote", lambda index=index: len(self.roles(index)) == index + 1 and "Learner" not in self.roles(index))

    def ask(self, index, method, path, body=None, seconds=2.0):
        """Code and content of one server's answer."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.ports[index][0], context=self.tls, timeout=seconds)
        with contextlib.closing(connection):
            connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.load(answer)

    def roles(self, index):
        """What each server is, as one of them shows it."""
        code, servers = self.ask(index, "GET", "/apis/floe.dev/v1/servers")
        return [server.get("status", {}).get("role") for server in servers["items"]] if code == 200 else []

    def leader(self):
        for index in range(COUNT):
            with contextlib.suppress(OSError, http.client.HTTPException):
                code, servers = self.ask(index, "GET", "/apis/floe.dev/v1/servers")
                leading = [one for one in servers.get("items", []) if one.get("status", {}).get("role") == "Leader"]
                if code == 200 and len(leading) == 1:
                    return int(leading[0]["metadata"]["name"].removeprefix("server-"))
        return None

    def answers(self, index):
        return len(self.roles(index)) == COUNT

    def write(self, index, name, seconds):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": "x" * 512}}
        return self.ask(index, "POST", "/api/v1/namespaces/default/configmaps", body, seconds)[0] == 201


class Etcd(Group):
    """Three of etcd."""

    name = "etcd"

    def __init__(self):
        super().__init__()
        self.clients = [f"http://127.0.0.1:{free_port()}" for _ in range(COUNT)]
        self.peers = [f"http://127.0.0.1:{free_port()}" for _ in range(COUNT)]

    def command(self, index):
        members = ",".join(f"e{number}={peer}" for number, peer in enumerate(self.peers))
        words = ["etcd", "--name", f"e{index}", "--data-dir", os.path.join(self.folder, str(index)), "--log-level", "error"]
        words += ["--listen-client-urls", self.clients[index], "--advertise-client-urls", self.clients[index]]
        words += ["--listen-peer-urls", self.peers[index], "--initial-advertise-peer-urls", self.peers[index]]
        return [*words, "--initial-cluster", members, "--quota-backend-bytes", str(8 << 30)]

    def begin_all(self):
        for index in range(COUNT):
            self.start(index)
        self.settle()

    def ask(self, index, path, body, seconds=2.0):
        """What one server answers."""
        request = urllib.request.Request(self.clients[index] + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return json.load(answer)

    def leader(self):
        for index in range(COUNT):
            with contextlib.suppress(OSError, http.client.HTTPException):
                status = self.ask(index, "/v3/maintenance/status", {})
                if status["leader"] == status["header"]["member_id"]:
                    return index
        return None

    def answers(self, index):
        self.ask(index, "/v3/kv/range", {"key": base64.b64encode(b"any").decode()})
        return True

    def write(self, index, name, seconds):
        key, value = (base64.b64encode(text).decode() for text in (name.encode(), b"x" * 1024))
        return "header" in self.ask(index, "/v3/kv/put", {"key": key, "value": value}, seconds)
