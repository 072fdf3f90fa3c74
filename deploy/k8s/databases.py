"""Rules for whoever keeps tag sets: one database for all pods, and the way there for nobody else."""

from collections.abc import Iterator

from common.settings import PREFIX
from deploy.k8s.cluster import Cluster, Facts, by_secret, environment, ways_out

DATABASE = PREFIX + "DATABASE"
PORT = 5432
"""Of PostgreSQL."""
KEEPERS = ("all", "music_fewshot")


def database(cluster: Cluster, _: Facts) -> Iterator[str]:
    """Pods that keep tag sets share a database whose URL is in a Secret; only they may reach one."""
    for pod in cluster.component("api"):
        env, secret = environment(cluster, pod.main), by_secret(pod.main).get(DATABASE)
        if DATABASE in env:
            yield f"{pod.name}: {DATABASE} stands in a manifest; its URL holds a password: take it from a Secret"
        if env.get(PREFIX + "DOMAIN", "all") in KEEPERS and (secret is None or secret.get("optional")):
            yield f"{pod.name}: {DATABASE} comes from no required Secret: each pod would keep tag sets of its own"
        reaches = any(port["port"] == PORT for rule in ways_out(cluster, pod) for port in rule.get("ports", []))
        if secret and not reaches:
            yield f"{pod.name}: no NetworkPolicy lets it reach its database, port {PORT}"
        if reaches and not secret:
            yield f"{pod.name}: may reach databases, port {PORT}, and has none"
