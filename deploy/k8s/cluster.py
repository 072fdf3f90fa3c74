"""The objects of one rendered overlay, as its rules look at them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Object = Mapping[str, Any]

COMPONENT = "app.kubernetes.io/component"


class Facts(NamedTuple):
    """What the manifests must agree with, taken from the code."""

    routes: frozenset[str]
    """Paths of the app, ``{name}`` for parameters."""
    triton_args: tuple[str, ...]
    """With which the tests start the real server."""
    refused: Callable[[Sequence[str]], str | None] = lambda _: None
    """What the command line has against a command; None when it takes it."""
    secrets: frozenset[tuple[str, str]] = frozenset()
    """Names and keys of the Secrets that the README tells an operator to make by hand."""


class Pod(NamedTuple):
    """The pod template of one Deployment or Job."""

    name: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]

    @property
    def main(self) -> Object:
        return self.spec["containers"][0]

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def ports(self) -> dict[str | int, int]:
        """Container ports by name and by number."""
        ports = [port for container in self.spec["containers"] for port in container.get("ports", [])]
        return {
            key: port["containerPort"] for port in ports for key in (port.get("name"), port["containerPort"]) if key
        }


class Cluster:
    """The objects of one overlay."""

    def __init__(self, objects: Sequence[Object]) -> None:
        self.objects = objects
        self.pods = [_pod(o) for o in self.of("Deployment")]
        """Those that stay and answer."""
        self.workers = [_pod(o) for o in self.of("Job")]
        """Those that end."""

    def of(self, kind: str) -> list[Object]:
        return [o for o in self.objects if o["kind"] == kind]

    def named(self, kind: str, name: str) -> Object | None:
        return next((o for o in self.of(kind) if o["metadata"]["name"] == name), None)

    def matching(self, selector: Mapping[str, str]) -> list[Pod]:
        """Pods that carry all labels of a selector."""
        return [pod for pod in self.pods if selector.items() <= pod.labels.items()]

    def component(self, name: str) -> list[Pod]:
        return self.matching({COMPONENT: name})


def _pod(item: Object) -> Pod:
    template = item["spec"]["template"]
    return Pod(item["metadata"]["name"], template["metadata"].get("labels", {}), template["spec"])


def volume_sources(pod: Pod) -> Iterator[tuple[str, str]]:
    """Kind and name of what the pod's volumes are made from."""
    for volume in pod.spec.get("volumes", []):
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]


def environment(cluster: Cluster, container: Object) -> dict[str, str]:
    """Variables whose values the manifests hold."""
    env: dict[str, str] = {}
    for source in container.get("envFrom", []):
        found = cluster.named("ConfigMap", source["configMapRef"]["name"])
        env |= found["data"] if found else {}
    return env | {item["name"]: item["value"] for item in container.get("env", []) if "value" in item}


def ways_out(cluster: Cluster, pod: Pod) -> list[Object]:
    """Every rule that lets a pod out; policies add up, the default lets nothing out."""
    policies = [one["spec"] for one in cluster.of("NetworkPolicy")]
    mine = [one for one in policies if one["podSelector"].get("matchLabels", {}).items() <= pod.labels.items()]
    return [rule for one in mine for rule in one.get("egress", [])]


def by_secret(container: Object) -> dict[str, Object]:
    """The Secret keys that variables come from."""
    froms = {item["name"]: item.get("valueFrom", {}) for item in container.get("env", [])}
    return {name: source["secretKeyRef"] for name, source in froms.items() if "secretKeyRef" in source}
