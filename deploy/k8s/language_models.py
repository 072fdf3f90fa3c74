"""Rules for whoever asks a language model: the service that does, and the Jobs of a study."""

import tomllib
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import msgspec

from contracts.llm import Profile
from deploy.k8s.cluster import Cluster, Facts, Object, Pod, by_secret, environment, volume_sources, ways_out

INDEX = "$(JOB_COMPLETION_INDEX)"
"""Kubernetes puts a pod's number within an indexed Job there, from 0."""


def language_model(cluster: Cluster, _: Facts) -> Iterator[str]:
    """A profile that a pod is pointed to is mounted, is one, and its key comes from a Secret; the way out is open."""
    for pod in cluster.component("api"):
        path = environment(cluster, pod.main).get("KITHARA_LLM")
        if path is None:
            continue
        try:
            profile = msgspec.convert(tomllib.loads(_mounted(cluster, pod, path)), Profile)
        except (LookupError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
            yield f"{pod.name}: KITHARA_LLM={path} is no profile of a language model: {error}"
            continue
        if profile.api_key_env and profile.api_key_env not in by_secret(pod.main):
            yield f"{pod.name}: its profile wants {profile.api_key_env}, which comes from no Secret"
        yield from _closed(cluster, pod)


def names(cluster: Cluster, _: Facts) -> Iterator[str]:
    """A pod that may go out to anything may also look up its name; policies add up, the default lets nothing out."""
    for pod in (*cluster.pods, *cluster.workers):
        rules = ways_out(cluster, pod)
        if rules and not any(_leads_to_names(rule) for rule in rules):
            yield f"{pod.name}: may go out but cannot resolve a name; let it reach kube-dns, port 53 of UDP and TCP"


def _closed(cluster: Cluster, pod: Pod) -> Iterator[str]:
    """A language model may be anywhere: the way there leads to addresses beyond the cluster."""
    peers = [peer for rule in ways_out(cluster, pod) for peer in rule.get("to", [])]
    if not any("ipBlock" in peer for peer in peers):
        yield f"{pod.name}: no NetworkPolicy lets it reach a language model"


def _leads_to_names(rule: Object) -> bool:
    servers = [peer.get("podSelector", {}).get("matchLabels", {}).get("k8s-app") for peer in rule.get("to", [])]
    ports = {(port["port"], port.get("protocol", "TCP")) for port in rule.get("ports", [])}
    return "kube-dns" in servers and ports >= {(53, "UDP"), (53, "TCP")}


def _mounted(cluster: Cluster, pod: Pod, path: str) -> str:
    """Text of a file that a ConfigMap puts into the main container. Raises LookupError."""
    file = PurePosixPath(path)
    mounts = {mount["mountPath"]: mount["name"] for mount in pod.main.get("volumeMounts", [])}
    volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
    volume = volumes.get(mounts.get(str(file.parent), ""), {})
    found = cluster.named("ConfigMap", volume.get("configMap", {}).get("name", ""))
    if found is None or file.name not in found["data"]:
        raise LookupError("no ConfigMap is mounted there that holds it")
    return found["data"][file.name]


def shards(cluster: Cluster, facts: Facts) -> Iterator[str]:
    """A study's pods have one shard each, all of them, on a volume that all can write; the command takes it."""
    for job, pod in zip(cluster.of("Job"), cluster.workers, strict=True):
        spec, args = job["spec"], pod.main.get("args", [])
        complaint = facts.refused([*pod.main["command"], *(arg.replace(INDEX, "0") for arg in args)])
        if complaint:
            yield f"Job {pod.name}: {complaint}"
        if spec.get("completionMode") != "Indexed":
            continue
        if f"--shard={INDEX}/{spec['completions']}" not in args:
            yield f"Job {pod.name}: its {spec['completions']} pods need --shard={INDEX}/{spec['completions']}"
        if not any(arg.startswith("--out=") and INDEX in arg for arg in args):
            yield f"Job {pod.name}: a run folder has one writer; put {INDEX} into --out"
        if "backoffLimitPerIndex" not in spec:
            yield f"Job {pod.name}: one shard that fails ends all others; set backoffLimitPerIndex"
        for claim in (name for kind, name in volume_sources(pod) if kind == "PersistentVolumeClaim"):
            found = cluster.named("PersistentVolumeClaim", claim)
            if found and spec.get("parallelism", 1) > 1 and found["spec"]["accessModes"] != ["ReadWriteMany"]:
                yield f"Job {pod.name}: several nodes cannot write to {claim}; make it ReadWriteMany"


def conclusion(cluster: Cluster, _: Facts) -> Iterator[str]:
    """A study's later stages need the replies of all shards: one more Job runs it whole over them, and so writes the
    report. It asks, so it has the shards' way out, their key and their study."""
    for job, pod in zip(cluster.of("Job"), cluster.workers, strict=True):
        yield from _closed(cluster, pod)
        if job["spec"].get("completionMode") != "Indexed":
            continue
        wanted = {arg.replace(INDEX, str(at)) for arg in _out(pod) for at in range(job["spec"]["completions"])}
        last = [one for one in cluster.workers if one is not pod and wanted <= _reused(one)]
        if not last:
            yield f"Job {pod.name}: no Job takes over its shards (--reuse), so no report is ever written"
        for one in last:
            yield from _concludes(pod, one)


def _concludes(shards: Pod, last: Pod) -> Iterator[str]:
    if last.main["command"] != shards.main["command"] or any(arg.startswith("--shard") for arg in last.main["args"]):
        yield f"Job {last.name}: does not run the whole study, so it writes no report; {shards.main['command']} does"
    for part in ("env", "volumeMounts"):
        if last.main.get(part) != shards.main.get(part):
            yield f"Job {last.name}: {part} is not that of {shards.name}, whose study it ends"
    if _config(last) != _config(shards):
        yield f"Job {last.name}: --config is not that of {shards.name}"


def _out(pod: Pod) -> list[str]:
    return [arg.removeprefix("--out=") for arg in pod.main["args"] if arg.startswith("--out=")]


def _config(pod: Pod) -> list[str]:
    return [arg for arg in pod.main["args"] if arg.startswith("--config=")]


def _reused(pod: Pod) -> set[str]:
    """Run folders after ``--reuse``."""
    args: Sequence[str] = pod.main["args"]
    return set(args[args.index("--reuse") + 1 :]) if "--reuse" in args else set()
