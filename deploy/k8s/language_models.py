"""Rules for whoever asks a language model: the service that does, and the Jobs of a study."""

import tomllib
from collections.abc import Iterator
from pathlib import PurePosixPath

import msgspec

from contracts.llm import Profile
from deploy.k8s.cluster import Cluster, Facts, Object, Pod, environment, volume_sources

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
        secrets = {one["name"] for one in pod.main.get("env", []) if "secretKeyRef" in one.get("valueFrom", {})}
        if profile.api_key_env and profile.api_key_env not in secrets:
            yield f"{pod.name}: its profile wants {profile.api_key_env}, which comes from no Secret"
        policies = [one["spec"] for one in cluster.of("NetworkPolicy") if _outward(one["spec"])]
        if not any(one["podSelector"]["matchLabels"].items() <= pod.labels.items() for one in policies):
            yield f"{pod.name}: no NetworkPolicy lets it reach a language model"


def _outward(spec: Object) -> bool:
    """Whether a policy lets pods out to addresses beyond the cluster."""
    return any("ipBlock" in peer for rule in spec.get("egress", []) for peer in rule.get("to", []))


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
