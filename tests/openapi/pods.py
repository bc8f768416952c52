"""Creates, lists and deletes a Pod with the generated package `generated`: address, authority, certificate and key follow."""

import sys

import generated
from generated import models


def model(name):
    """A model by the end of its name: the package before it differs between versions of the document."""
    found = [each for each in vars(models) if each.endswith(name)]
    return getattr(models, min(found, key=len))


def main():
    """Goes through the life of a Pod."""
    host, authority, certificate, key = sys.argv[1:]
    configuration = generated.Configuration(host=host, ssl_ca_cert=authority)
    configuration.cert_file, configuration.key_file = certificate, key
    with generated.ApiClient(configuration) as client:
        api = generated.CoreV1Api(client)
        container = model("ApiCoreV1Container")(name="c", image="nginx")
        pod = model("ApiCoreV1Pod")(
            metadata=model("MetaV1ObjectMeta")(name="generated", labels={"made-by": "generator"}),
            spec=model("ApiCoreV1PodSpec")(containers=[container]),
        )
        made = api.create_core_v1_namespaced_pod("default", pod)
        assert made.metadata.uid and made.spec.restart_policy == "Always", made
        listed = api.list_core_v1_namespaced_pod("default", label_selector="made-by=generator")
        assert [each.metadata.name for each in listed.items] == ["generated"], listed
        deleted = api.delete_core_v1_namespaced_pod("generated", "default", grace_period_seconds=0)
        assert deleted.metadata.uid == made.metadata.uid, deleted
        assert not api.list_core_v1_namespaced_pod("default").items
    print("created, listed and deleted a Pod")


main()
