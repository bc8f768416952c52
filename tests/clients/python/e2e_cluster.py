"""Lets the tests that come with the Python client run: they ask a module for the cluster which its distributions leave out."""

import sys
import types

from kubernetes import client, config


def get_e2e_configuration():
    """The settings of the kubeconfig's current context."""
    settings = client.Configuration()
    config.load_kube_config(client_configuration=settings)
    return settings


package, base = types.ModuleType("kubernetes.e2e_test"), types.ModuleType("kubernetes.e2e_test.base")
base.get_e2e_configuration = get_e2e_configuration
package.base = base
sys.modules.update({"kubernetes.e2e_test": package, "kubernetes.e2e_test.base": base})
