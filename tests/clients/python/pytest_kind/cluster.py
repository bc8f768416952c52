"""The class that kr8s' tests make their cluster with."""

import os
import pathlib
import shutil
import subprocess


class KindCluster:
    """The cluster that $KUBECONFIG names."""

    def __init__(self, name, image=None):
        self.name = name
        self.image = image
        self.kubectl_path = pathlib.Path(shutil.which("kubectl"))
        self.kubeconfig_path = pathlib.Path(os.environ["KUBECONFIG"])

    def create(self):
        """Does nothing: it is there."""

    def delete(self):
        """Does nothing: who made it removes it."""

    def kubectl(self, *words):
        """What kubectl prints for `words`. A new namespace has its account afterwards, which its pods need."""
        said = subprocess.check_output(["kubectl", *words], text=True)
        if words[:2] == ("create", "namespace"):
            self.kubectl("wait", "--for=create", "serviceaccount/default", "--namespace", words[2], "--timeout=90s")
        return said
