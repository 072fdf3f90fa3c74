"""What must hold between the objects of one rendered overlay; a schema sees each object alone.

``problems(objects, facts)`` lists every breach as one sentence. Objects are plain dictionaries, as YAML gives them.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain

from common.errors import OperatorError
from common.settings import PREFIX, load
from contracts.media import MIB
from contracts.music_fewshot import MAX_UPLOAD as MUSIC
from contracts.speech import MAX_UPLOAD as SPEECH
from deploy.k8s.cluster import COMPONENT, Cluster, Facts, Object, Pod, by_secret, environment, volume_sources
from deploy.k8s.databases import database
from deploy.k8s.language_models import conclusion, language_model, names, shards

TRITON_PATHS = frozenset({"/v2/health/live", "/v2/health/ready", "/metrics"})
BODY_SIZE = "nginx.ingress.kubernetes.io/proxy-body-size"
"""In nginx's units: m is a MiB."""
LARGEST = max(MUSIC, SPEECH)
"""Bytes of an upload, without its form."""
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def problems(objects: Sequence[Object], facts: Facts) -> list[str]:
    """Every breach of every rule; empty when the overlay is sound."""
    return _breaches(objects, facts, RULES)


def study_problems(objects: Sequence[Object], facts: Facts) -> list[str]:
    """The same for the Jobs of a study, which serve nothing, with the network policies of the overlay beside them."""
    return _breaches(objects, facts, STUDY_RULES)


def _breaches(objects: Sequence[Object], facts: Facts, rules: "Sequence[Rule]") -> list[str]:
    cluster = Cluster(objects)
    return list(chain.from_iterable(rule(cluster, facts) for rule in rules))


def selectors(cluster: Cluster, _: Facts) -> Iterator[str]:
    """Whatever selects pods selects some."""
    for deployment in cluster.of("Deployment"):
        wanted, labels = (
            deployment["spec"]["selector"]["matchLabels"],
            deployment["spec"]["template"]["metadata"]["labels"],
        )
        if not wanted.items() <= labels.items():
            yield f"Deployment {deployment['metadata']['name']}: its selector does not match its own pods"
    for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
        for item in cluster.of(kind):
            spec = item["spec"]
            for selector in [*_selected(kind, spec), *_peers(spec)]:
                if not cluster.matching(selector):
                    yield f"{kind} {item['metadata']['name']}: no pod has the labels {dict(selector)}"


def _selected(kind: str, spec: Object) -> list[Mapping[str, str]]:
    if kind == "Service":
        return [spec["selector"]]
    return [spec["podSelector" if kind == "NetworkPolicy" else "selector"].get("matchLabels", {})]


def _peers(spec: Object) -> list[Mapping[str, str]]:
    """Selectors of pods of this namespace inside the rules of a NetworkPolicy."""
    rules = [*spec.get("ingress", []), *spec.get("egress", [])]
    peers = [peer for rule in rules for peer in [*rule.get("from", []), *rule.get("to", [])]]
    return [
        peer["podSelector"]["matchLabels"]
        for peer in peers
        if "podSelector" in peer and "namespaceSelector" not in peer
    ]


def ports(cluster: Cluster, _: Facts) -> Iterator[str]:
    """Service and policy ports are ports of the pods behind them."""
    for service in cluster.of("Service"):
        for pod in cluster.matching(service["spec"]["selector"]):
            for port in service["spec"]["ports"]:
                if port.get("targetPort", port["port"]) not in pod.ports:
                    yield f"Service {service['metadata']['name']}: {pod.name} has no port {port.get('targetPort')}"
    for policy in cluster.of("NetworkPolicy"):
        name, spec = policy["metadata"]["name"], policy["spec"]
        here = cluster.matching(spec["podSelector"].get("matchLabels", {}))
        for rule in spec.get("ingress", []):
            yield from _policy_ports(name, rule, here)
        for rule in spec.get("egress", []):
            for selector in _peers({"egress": [rule]}):
                yield from _policy_ports(name, rule, cluster.matching(selector))


def _policy_ports(name: str, rule: Object, pods: Sequence[Pod]) -> Iterator[str]:
    for port in rule.get("ports", []):
        for pod in pods:
            if port["port"] not in pod.ports:
                yield f"NetworkPolicy {name}: {pod.name} has no port {port['port']}"


def probes(cluster: Cluster, facts: Facts) -> Iterator[str]:
    """Every container that stays has the three probes, on ports and paths that exist; a busy pod is not killed."""
    for pod in cluster.pods:
        known = TRITON_PATHS if pod.labels.get(COMPONENT) == "triton" else facts.routes
        for container in pod.spec["containers"]:
            where = f"{pod.name}/{container['name']}"
            for probe in PROBES:
                get = container.get(probe, {}).get("httpGet")
                if get is None:
                    yield f"{where}: no {probe}"
                    continue
                if get["port"] not in pod.ports:
                    yield f"{where}: {probe} asks port {get['port']}, which the pod has not"
                if get["path"] not in known:
                    yield f"{where}: {probe} asks {get['path']}, which is no route"
            live, ready = (container.get(probe, {}).get("httpGet") for probe in PROBES[1:])
            if live and live == ready:
                yield f"{where}: liveness and readiness ask the same, so a pod that waits for a model is killed"


def scraping(cluster: Cluster, facts: Facts) -> Iterator[str]:
    """Prometheus is sent to a port and a path that exist."""
    for deployment, pod in zip(cluster.of("Deployment"), cluster.pods, strict=True):
        notes = deployment["spec"]["template"]["metadata"].get("annotations", {})
        known = TRITON_PATHS if pod.labels.get(COMPONENT) == "triton" else facts.routes
        if notes.get("prometheus.io/scrape") != "true":
            yield f"{pod.name}: not annotated for Prometheus"
        elif int(notes["prometheus.io/port"]) not in pod.ports or notes["prometheus.io/path"] not in known:
            yield f"{pod.name}: Prometheus is sent to {notes['prometheus.io/port']}{notes['prometheus.io/path']}"


def references(cluster: Cluster, facts: Facts) -> Iterator[str]:
    """ConfigMaps, claims and volumes that pods name exist; Secrets too, or the README says how to make them by hand."""
    for pod in (*cluster.pods, *cluster.workers):
        volumes = {volume["name"] for volume in pod.spec.get("volumes", [])}
        for kind, name in volume_sources(pod):
            if cluster.named(kind, name) is None:
                yield f"{pod.name}: no {kind} {name}"
        for container in pod.containers:
            where = f"{pod.name}/{container['name']}"
            for name in _config_maps(container):
                if cluster.named("ConfigMap", name) is None:
                    yield f"{where}: no ConfigMap {name}"
            for key in by_secret(container).values():
                if cluster.named("Secret", key["name"]) is None and (key["name"], key["key"]) not in facts.secrets:
                    yield f"{where}: no Secret {key['name']} with the key {key['key']}, and README.md does not make it"
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    yield f"{where}: no volume {mount['name']}"


def _config_maps(container: Object) -> Iterator[str]:
    froms = list(container.get("envFrom", []))
    froms += [item["valueFrom"] for item in container.get("env", []) if "valueFrom" in item]
    for item in froms:
        for key in ("configMapRef", "configMapKeyRef"):
            if key in item:
                yield item[key]["name"]


def settings(cluster: Cluster, _: Facts) -> Iterator[str]:
    """The environment of every API pod is one that ``kithara serve`` takes, and agrees with the rest."""
    for pod in cluster.component("api"):
        env = environment(cluster, pod.main)
        try:
            merged = load({}, {name: value for name, value in env.items() if name.startswith(PREFIX)})
        except OperatorError as error:
            yield f"{pod.name}: {error}"
            continue
        stop = merged.unready_seconds + merged.drain_seconds
        if pod.spec.get("terminationGracePeriodSeconds", 30) <= stop:
            yield f"{pod.name}: killed before it has drained: terminationGracePeriodSeconds must be above {stop:g}"
        if merged.backend == "remote" and merged.triton not in _addresses(cluster):
            yield f"{pod.name}: no Service at KITHARA_TRITON={merged.triton}"


def _addresses(cluster: Cluster) -> set[str]:
    """``service:port`` of every Service."""
    services = cluster.of("Service")
    return {f"{one['metadata']['name']}:{port['port']}" for one in services for port in one["spec"]["ports"]}


def scaling(cluster: Cluster, _: Facts) -> Iterator[str]:
    """An autoscaler scales a Deployment that exists and whose pods request what it measures."""
    for scaler in cluster.of("HorizontalPodAutoscaler"):
        name, spec = scaler["metadata"]["name"], scaler["spec"]
        kind, wanted = spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]
        target = cluster.named(kind, wanted)
        if target is None:
            yield f"HorizontalPodAutoscaler {name}: no {kind} {wanted}"
        elif "replicas" in target["spec"]:
            yield f"HorizontalPodAutoscaler {name}: its Deployment sets replicas too, so every apply undoes the scaling"
        if not spec["minReplicas"] <= spec["maxReplicas"]:
            yield f"HorizontalPodAutoscaler {name}: minReplicas above maxReplicas"


def hardening(cluster: Cluster, _: Facts) -> Iterator[str]:
    """Non-root, read-only, no capabilities, bounded; nothing of the cluster leaks in."""
    for pod in (*cluster.pods, *cluster.workers):
        context = pod.spec.get("securityContext", {})
        if not (context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0):
            yield f"{pod.name}: may run as root"
        if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            yield f"{pod.name}: no seccomp profile"
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.name}: mounts a service account token that nothing needs"
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.name}: service links add KITHARA_ variables that `kithara serve` refuses"
        for container in pod.containers:
            yield from _hardened(f"{pod.name}/{container['name']}", container)


def _hardened(where: str, container: Object) -> Iterator[str]:
    context, resources = container.get("securityContext", {}), container.get("resources", {})
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield f"{where}: may gain privileges"
    if context.get("readOnlyRootFilesystem") is not True:
        yield f"{where}: its root filesystem is writable"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{where}: keeps capabilities"
    for kind in ("requests", "limits"):
        missing = {"cpu", "memory"} - resources.get(kind, {}).keys()
        if missing:
            yield f"{where}: no {kind} of {', '.join(sorted(missing))}"


def images(cluster: Cluster, _: Facts) -> Iterator[str]:
    """Every image says which one."""
    for pod in (*cluster.pods, *cluster.workers):
        for container in pod.containers:
            tag = re.search(r":([^/]+)$", container["image"])
            if tag is None or tag[1] == "latest":
                yield f"{pod.name}/{container['name']}: image {container['image']} has no fixed tag"


def routing(cluster: Cluster, facts: Facts) -> Iterator[str]:
    """Every prefix leads to a Service port and to a route; every public route has a prefix."""
    prefixes: list[str] = []
    for ingress in cluster.of("Ingress"):
        for path in [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]:
            backend = path["backend"]["service"]
            service = cluster.named("Service", backend["name"])
            if service is None or backend["port"]["name"] not in {
                port.get("name") for port in service["spec"]["ports"]
            }:
                yield f"Ingress {path['path']}: no Service {backend['name']} with port {backend['port']['name']}"
            if not any(_under(route, path["path"]) for route in facts.routes):
                yield f"Ingress {path['path']}: the app has no such route"
            prefixes.append(path["path"])
    for route in facts.routes:
        if route.startswith(("/v1/", "/v2/")) and not any(_under(route, prefix) for prefix in prefixes):
            yield f"Ingress: no prefix leads to {route}"


def _under(route: str, prefix: str) -> bool:
    return route == prefix or route.startswith(prefix.rstrip("/") + "/")


def uploads(cluster: Cluster, _: Facts) -> Iterator[str]:
    """The ingress lets through the largest body that a route takes."""
    for ingress in cluster.of("Ingress"):
        size = ingress["metadata"].get("annotations", {}).get(BODY_SIZE, "1m")
        if not re.fullmatch(r"\d+m", size) or int(size[:-1]) * MIB <= LARGEST + MIB:
            yield f"Ingress: {BODY_SIZE} is {size}, below an upload of clips with its form: {LARGEST // MIB + 2}m"


def triton(cluster: Cluster, facts: Facts) -> Iterator[str]:
    """Triton runs as in the tests, on the API's own models, with shared memory and time to stop."""
    api_images = {pod.main["image"] for pod in cluster.component("api")}
    for pod in cluster.component("triton"):
        args = dict(arg.lstrip("-").partition("=")[::2] for arg in pod.main.get("args", []))
        if pod.main.get("args") != list(facts.triton_args):
            yield f"{pod.name}: its arguments are not those that the tests start the real server with"
        if pod.spec.get("terminationGracePeriodSeconds", 30) <= int(args.get("exit-timeout-secs", 30)):
            yield f"{pod.name}: terminationGracePeriodSeconds must be above --exit-timeout-secs"
        for name in ("http", "grpc", "metrics"):
            if pod.ports.get(name) != int(args.get(f"{name}-port", 0)):
                yield f"{pod.name}: port {name} is not --{name}-port"
        mounts = {mount["mountPath"]: mount["name"] for mount in pod.main.get("volumeMounts", [])}
        shared = {v["name"] for v in pod.spec.get("volumes", []) if v.get("emptyDir", {}).get("medium") == "Memory"}
        if mounts.get("/dev/shm") not in shared:
            yield f"{pod.name}: /dev/shm is no Memory emptyDir"
        carriers = [
            one["image"]
            for one in pod.spec.get("initContainers", [])
            if mounts.get(args.get("model-repository", "")) in {mount["name"] for mount in one.get("volumeMounts", [])}
        ]
        if not carriers or set(carriers) != api_images:
            yield f"{pod.name}: its models do not come from the API's image {', '.join(sorted(api_images))}"


Rule = Callable[[Cluster, Facts], Iterator[str]]
RULES: tuple[Rule, ...] = (
    selectors, ports, probes, scraping, references, settings, language_model, database, names, scaling, hardening,
    images, routing, uploads, triton,
)  # fmt: skip
STUDY_RULES: tuple[Rule, ...] = (references, shards, conclusion, names, hardening, images)
