"""A cluster for benchmarks: `floe` and what is read from its node."""

import base64
import hashlib
import http.client
import io
import json
import os
import re
import shutil
import ssl
import subprocess
import tarfile
import tempfile

RAW = "/var/lib/floe/raw-crun"
DAEMONS = ("floe-controlplane", "floe-agent")


def credentials(kubeconfig, folder):
    """What a kubeconfig holds: a TLS context as its user, by files in `folder`, and the API server's address."""

    def field(key):
        return re.search(rf"{key}:\s*[\"']?([^\"'\s]+)", kubeconfig).group(1)

    paths = []
    for key in ("certificate-authority-data", "client-certificate-data", "client-key-data"):
        paths.append(os.path.join(folder, key))
        with open(os.open(paths[-1], os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
            file.write(base64.b64decode(field(key)))
    tls = ssl.create_default_context(cafile=paths[0])
    tls.load_cert_chain(paths[1], paths[2])
    return tls, field("server").removeprefix("https://")


class Cluster:
    """A cluster that the real `floe` starts; leaving the context takes it down."""

    def __init__(self, name):
        self.name = name
        self.node = f"{name}-1"
        self.program = os.path.join(os.environ["FLOE_BIN_DIR"], "floe")
        self.folder = tempfile.mkdtemp(prefix="floe-bench-")
        self.tls = None
        self.address = None

    def __enter__(self):
        self.down()
        return self

    def __exit__(self, *_):
        try:
            self.down()
        finally:
            shutil.rmtree(self.folder)

    def floe(self, *words, given=None):
        """What `floe` prints for `words`; it must succeed."""
        # cargo's own variable would make `up` build the daemons again.
        environment = {key: value for key, value in os.environ.items() if key != "CARGO"}
        done = subprocess.run(
            [self.program, "--name", self.name, *words],
            input=given if given is not None else b"",
            capture_output=True,
            check=False,
            env=environment,
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()
            raise RuntimeError(f"floe {' '.join(words)}: {said}")
        return done.stdout

    def up(self, *options):
        """Starts the cluster and takes its administrator's credentials."""
        self.floe("up", *options)
        self.tls, self.address = credentials(self.floe("kubeconfig").decode(), self.folder)

    def down(self):
        """Removes the cluster, running or not."""
        self.floe("down")

    def connect(self):
        """A connection to the API server as the administrator."""
        return http.client.HTTPSConnection(self.address, context=self.tls, timeout=120)

    def shell(self, script, given=None):
        """What `script` prints on the node."""
        return self.floe("shell", self.node, "--", "bash", "-c", script, given=given)

    def load(self, archive):
        """Loads an image."""
        self.floe("image", "load", archive)

    def daemons(self):
        """Seconds of CPU and MiB resident of each daemon, since its start."""
        ticks = os.sysconf("SC_CLK_TCK")
        facts = {}
        for name in DAEMONS:
            text = self.shell(
                f"pid=$(systemctl show --value -p MainPID {name}.service); "
                "cat /proc/$pid/stat; grep VmRSS /proc/$pid/status"
            ).decode()
            fields = text.splitlines()[0].rpartition(")")[2].split()
            facts[name] = {
                "cpu_seconds": (int(fields[11]) + int(fields[12])) / ticks,
                "resident_mib": int(re.search(r"VmRSS:\s*(\d+)", text).group(1)) / 1024,
            }
        return facts


def busybox_layer(cluster):
    """A layer with the node's busybox under the names that pods call."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for folder in ("bin", "etc", "proc", "sys", "dev", "tmp"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        program = cluster.shell("cat /bin/busybox")
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(program), 0o755
        archive.addfile(entry, io.BytesIO(program))
        for name in ("sh", "sleep", "true"):
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    return layer.getvalue()


def busybox_image(cluster, reference):
    """Writes an image with one layer in OCI layout; returns its folder."""
    root = os.path.join(cluster.folder, "image")
    os.makedirs(os.path.join(root, "blobs/sha256"))

    def blob(content, media):
        digest = hashlib.sha256(content).hexdigest()
        with open(os.path.join(root, "blobs/sha256", digest), "wb") as file:
            file.write(content)
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(content)}

    kind = "application/vnd.oci.image"
    layer = blob(busybox_layer(cluster), f"{kind}.layer.v1.tar")
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }
    config = blob(json.dumps(config).encode(), f"{kind}.config.v1+json")
    manifest = {"schemaVersion": 2, "config": config, "layers": [layer]}
    manifest["mediaType"] = f"{kind}.manifest.v1+json"
    entry = blob(json.dumps(manifest).encode(), manifest["mediaType"])
    entry["annotations"] = {"org.opencontainers.image.ref.name": reference}
    for name, content in (
        ("index.json", {"schemaVersion": 2, "manifests": [entry]}),
        ("oci-layout", {"imageLayoutVersion": "1.0.0"}),
    ):
        with open(os.path.join(root, name), "w", encoding="utf-8") as file:
            json.dump(content, file)
    return root


def raw_crun(cluster, runs):
    """Milliseconds of `crun run --detach` of a like container on the node, with nothing around it.

    Its namespaces are its own, its root is a plain folder with the same busybox.
    """
    cluster.shell(
        f"mkdir -p {RAW}/rootfs/{{bin,proc,sys,dev,tmp}} && cd {RAW} && "
        "cp /bin/busybox rootfs/bin/ && ln -sf busybox rootfs/bin/sleep && rm -f config.json && crun spec"
    )
    config = json.loads(cluster.shell(f"cat {RAW}/config.json"))
    config["process"].update(terminal=False, args=["/bin/sleep", "3600"], env=["PATH=/bin"])
    cluster.shell(f"cat > {RAW}/config.json", given=json.dumps(config).encode())
    text = cluster.shell(
        f"cd {RAW}; for i in $(seq {runs}); do a=$EPOCHREALTIME; "
        "crun --cgroup-manager=disabled run --detach raw-$i </dev/null >/dev/null 2>error || "
        "{ cat error; exit 1; }; b=$EPOCHREALTIME; crun delete --force raw-$i; "
        "echo $(( ${b/./} - ${a/./} )); done"
    )
    cluster.shell(f"rm -r {RAW}")
    return [int(line) / 1000 for line in text.split()]
