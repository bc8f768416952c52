"""The image that clients' tests run: `floe`'s demo (Debian's nginx) with busybox beside it, by the names that they ask for."""

import json
import os
import shutil
import subprocess

# No tag is `latest`, for which a node would ask the registry.
NAMES = ("docker.io/library/busybox:stable", "docker.io/library/nginx:stable", "docker.io/library/nginx:1.14.2",
         "docker.io/library/ubuntu:stable", "gcr.io/google_containers/pause:1")


def tell(layout, references):
    """Names the one image of an OCI layout by each of `references`."""
    path = os.path.join(layout, "index.json")
    with open(path, encoding="utf-8") as file:
        index = json.load(file)
    image = index["manifests"][0]
    index["manifests"] = [{**image, "annotations": {"org.opencontainers.image.ref.name": name}} for name in references]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(index, file)


def make(cluster, folder):
    """Writes the image in OCI layout into `folder` and returns its path."""
    layout, root, archive = (os.path.join(folder, name) for name in ("image", "root", "demo.tar"))
    cluster.floe("image", "demo", archive)
    shutil.unpack_archive(archive, layout)
    tell(layout, ["clients"])
    os.makedirs(os.path.join(root, "bin"))
    shutil.copy("/bin/busybox", os.path.join(root, "bin/busybox"))
    applets = subprocess.check_output(["/bin/busybox", "--list"], text=True).split()
    for applet in applets:
        if applet != "busybox":
            os.symlink("busybox", os.path.join(root, "bin", applet))
    subprocess.run(["umoci", "insert", "--image", f"{layout}:clients", root, "/"], check=True, stdout=subprocess.DEVNULL)
    # Those who give a pod's container `args` alone mean the whole command line, as public images take it.
    command = [word for part in ("nginx", "-g", "daemon off;") for word in ("--config.cmd", part)]
    config = ["umoci", "config", "--image", f"{layout}:clients", "--clear", "config.entrypoint", "--clear", "config.cmd", *command]
    subprocess.run(config, check=True, stdout=subprocess.DEVNULL)
    tell(layout, NAMES)
    return layout
