"""Every overlay is rendered, valid for several Kubernetes versions, and at one with the code."""

import asyncio
import copy
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from common.errors import OperatorError
from common.system import load
from deploy.cli import COMMANDS
from deploy.k8s.checks import BODY_SIZE, RULES, STUDY_RULES, problems, study_problems
from deploy.k8s.cluster import Facts
from deploy.triton.server import PRODUCTION_ARGS

pytestmark = [
    pytest.mark.manifests,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl, which renders the overlays, is not on PATH"),
]

FOLDER = Path(__file__).parents[2] / "deploy" / "k8s"
OVERLAYS = sorted(path.parent.name for path in FOLDER.glob("overlays/*/kustomization.yaml"))
STUDY = "study"
VERSIONS = ("1.31", "1.32", "1.33", "1.34", "1.35")

Objects = list[dict[str, Any]]


@cache
def rendered(overlay: str) -> str:
    """The YAML of an overlay, or of the study beside them, built without a network."""
    folder = FOLDER / overlay if overlay == STUDY else FOLDER / "overlays" / overlay
    command = ["kubectl", "kustomize", str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def objects(overlay: str) -> Objects:
    """Fresh dictionaries, to be broken at will."""
    return list(yaml.safe_load_all(rendered(overlay)))


@cache
def facts() -> Facts:
    """The app's routes, as its own OpenAPI document lists them, beside those that the document leaves out."""
    return Facts(frozenset(asyncio.run(_routes())), PRODUCTION_ARGS, refused, made_by_hand())


def made_by_hand() -> frozenset[tuple[str, str]]:
    """The Secrets of the README's own commands."""
    text = (FOLDER / "README.md").read_text().replace("\\\n", " ")
    return frozenset(re.findall(r"create secret generic (\S+)\s+--from-literal=([\w-]+)=", text))


def refused(command: Sequence[str]) -> str | None:
    """What the command line itself has against a command."""
    name, args = " ".join(command[1:3]), command[3:]
    if command[0] != "kithara" or name not in COMMANDS:
        return f"no command {' '.join(command[:3])}"
    try:
        load(COMMANDS[name]).read(args, f"kithara {name}")
    except OperatorError as error:
        return error.detail
    return None


async def _routes() -> set[str]:
    import httpx

    from common.settings import Settings
    from deploy.app import create_app

    app = create_app(Settings(models=str(FOLDER)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        document = json.loads((await client.get("/openapi.json")).content)
        found = {path for path in ("/livez", "/metrics", "/docs") if (await client.get(path)).status_code == 200}
    return found | set(document["paths"])


def test_both_overlays_are_checked():
    assert OVERLAYS == ["cpu", "gpu"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", [*OVERLAYS, STUDY])
def test_schema(overlay, version):
    """Strict: an unknown field is an error, and so is a kind without a schema."""
    for item in objects(overlay):
        assert kubernetes_validate.validate(item, version, strict=True)


def test_the_schema_check_can_fail():
    deployment = find(objects("cpu"), "Deployment", "kithara-triton")
    deployment["spec"]["template"]["spec"]["containers"][0]["argz"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="argz"):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        kubernetes_validate.validate(
            {"apiVersion": "kithara/v1", "kind": "Orchestra", "metadata": {}}, VERSIONS[0], strict=True
        )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_sound(overlay):
    assert problems(objects(overlay), facts()) == []


def study() -> Objects:
    """The Jobs, and the policies of the overlay that they stand beside."""
    return [*objects(STUDY), *(one for one in objects("cpu") if one["kind"] == "NetworkPolicy")]


def test_the_study_is_sound():
    assert study_problems(study(), facts()) == []


SMALL = """\
methods = ["cot", "self_consistency_matched"]

[bootstrap]
rounds = 100

[[data]]
items = 6

[profile]
base_url = "URL"
model = "simulated"
"""


@pytest.mark.parametrize("shards", [2, 4])
def test_the_commands_of_the_study_lead_to_its_report(kithara, simulate, tmp_path, shards):
    """Those of the manifests in the order of their Jobs, over a smaller study and fewer shards. The last pod is started
    twice, as after a lost node; its report is that of a run in one piece."""
    items = objects(STUDY)
    file = tmp_path / "study" / "study.toml"
    file.parent.mkdir()
    file.write_text(SMALL.replace("URL", simulate("--kind", "solver").url))

    def run(job: str, index: int = 0) -> None:
        main = find_exactly(items, job)["spec"]["template"]["spec"]["containers"][0]
        argv = [arg.replace("$(JOB_COMPLETION_INDEX)", str(index)) for arg in [*main["command"], *main["args"]]]
        argv = [arg.replace("/8", f"/{shards}") if arg.startswith("--shard=") else arg for arg in argv]
        argv = [arg for arg in argv if not (arg.startswith("/runs/study/") and int(arg[-1]) >= shards)]
        program, *argv = [re.sub(r"^(--\w+=)?/(study|runs)/", rf"\g<1>{tmp_path}/\2/", arg) for arg in argv]
        assert program == "kithara"
        ran = kithara(*argv)
        assert ran.status == 0, ran.err

    for index in range(shards):
        run("kithara-study", index)
    assert not list(tmp_path.rglob("report.*"))
    run("kithara-study-report")
    run("kithara-study-report")
    kithara("study", "bloomwise", f"--config={file}", f"--out={tmp_path}/whole")
    for name in ("report.html", "report.json"):
        assert (tmp_path / "runs" / "report" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert "self_consistency_matched" in (tmp_path / "whole" / "report.html").read_text()


def test_only_the_gpu_overlay_asks_for_a_gpu():
    def limits(overlay: str) -> list[dict[str, str]]:
        return [c["resources"]["limits"] for c in containers(objects(overlay))]

    assert [limit["nvidia.com/gpu"] for limit in limits("gpu") if "nvidia.com/gpu" in limit] == ["1"]
    assert not any("nvidia.com/gpu" in limit for limit in limits("cpu"))


# Each rule can be broken.

Broken = Callable[[Objects], object]


def find(items: Objects, kind: str, name: str) -> dict[str, Any]:
    return next(o for o in items if o["kind"] == kind and o["metadata"]["name"].startswith(name))


def find_exactly(items: Objects, name: str) -> dict[str, Any]:
    return next(o for o in items if o["kind"] == "Job" and o["metadata"]["name"] == name)


def pod(items: Objects, name: str) -> dict[str, Any]:
    return find(items, "Deployment", name)["spec"]["template"]


def api(items: Objects) -> dict[str, Any]:
    return pod(items, "kithara-vision-nlp")["spec"]


def llm(items: Objects) -> dict[str, Any]:
    return pod(items, "kithara-llm")["spec"]


def music(items: Objects) -> dict[str, Any]:
    return pod(items, "kithara-music")["spec"]


def secret(container: dict[str, Any]) -> dict[str, Any]:
    return next(one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one)


def profile(items: Objects) -> dict[str, str]:
    return find(items, "ConfigMap", "kithara-llm")["data"]


def triton(items: Objects) -> dict[str, Any]:
    return pod(items, "kithara-triton")["spec"]


def containers(items: Objects) -> Iterator[dict[str, Any]]:
    for item in items:
        if item["kind"] == "Deployment":
            spec = item["spec"]["template"]["spec"]
            yield from [*spec.get("initContainers", []), *spec["containers"]]


def set_(get: Callable[[Objects], Any], **values: Any) -> Broken:
    """Overwrite keys of one dictionary."""
    return lambda items: get(items).update(values)


def drop(get: Callable[[Objects], Any], *keys: Any) -> Broken:
    """Remove keys of one dictionary or list."""
    return lambda items: [get(items).pop(key) for key in keys]


def first(get: Callable[[Objects], Any]) -> Callable[[Objects], Any]:
    return lambda items: get(items)["containers"][0]


def settings(items: Objects) -> dict[str, str]:
    return find(items, "ConfigMap", "kithara-settings")["data"]


def spec(kind: str, name: str = "kithara") -> Callable[[Objects], Any]:
    return lambda items: find(items, kind, name)["spec"]


def path(items: Objects) -> dict[str, Any]:
    return find(items, "Ingress", "kithara")["spec"]["rules"][0]["http"]["paths"][0]


BREAKS: list[tuple[str, Broken, str]] = [
    ("selectors", set_(lambda o: pod(o, "kithara-triton")["metadata"], labels={}), "its own pods"),
    ("selectors", set_(spec("Service", "kithara-vision"), selector={"a": "b"}), "no pod has the labels {'a': 'b'}"),
    ("selectors", set_(spec("PodDisruptionBudget"), selector={"matchLabels": {"a": "b"}}), "PodDisruptionBudget"),
    (
        "selectors",
        set_(spec("NetworkPolicy", "kithara-api"), podSelector={"matchLabels": {"a": "b"}}),
        "NetworkPolicy kithara-api",
    ),
    (
        "selectors",
        lambda o: spec("NetworkPolicy", "kithara-triton")(o)["ingress"][0]["from"][0]["podSelector"][
            "matchLabels"
        ].update(a="b"),
        "NetworkPolicy kithara-triton",
    ),
    ("ports", set_(lambda o: spec("Service", "kithara-vision")(o)["ports"][0], targetPort="web"), "no port web"),
    ("ports", set_(lambda o: spec("NetworkPolicy", "kithara-api")(o)["ingress"][0]["ports"][0], port=81), "no port 81"),
    (
        "ports",
        set_(lambda o: spec("NetworkPolicy", "kithara-api")(o)["egress"][0]["ports"][0], port="rpc"),
        "no port rpc",
    ),
    ("probes", drop(first(api), "startupProbe"), "no startupProbe"),
    ("probes", set_(lambda o: first(api)(o)["livenessProbe"]["httpGet"], path="/alive"), "/alive, which is no route"),
    (
        "probes",
        set_(lambda o: first(api)(o)["livenessProbe"]["httpGet"], path="/readyz"),
        "liveness and readiness ask the same",
    ),
    ("probes", set_(lambda o: first(triton)(o)["readinessProbe"]["httpGet"], port=9), "port 9"),
    (
        "probes",
        set_(lambda o: first(triton)(o)["readinessProbe"]["httpGet"], path="/readyz"),
        "/readyz, which is no route",
    ),
    ("scraping", drop(lambda o: pod(o, "kithara-triton")["metadata"], "annotations"), "not annotated"),
    (
        "scraping",
        lambda o: pod(o, "kithara-vision-nlp")["metadata"]["annotations"].update({"prometheus.io/path": "/stats"}),
        "8000/stats",
    ),
    ("references", set_(lambda o: first(api)(o)["envFrom"][0]["configMapRef"], name="absent"), "no ConfigMap absent"),
    (
        "references",
        lambda o: first(api)(o)["env"].append(
            {"name": "KITHARA_HOST", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
        ),
        "no Secret s",
    ),
    ("references", set_(triton, volumes=[]), "no volume models"),
    ("settings", set_(settings, KITHARA_COLOUR="red"), "KITHARA_COLOUR"),
    ("settings", set_(settings, KITHARA_DRAIN_SECONDS="-1"), "KITHARA_DRAIN_SECONDS"),
    ("settings", set_(settings, KITHARA_DRAIN_SECONDS="30"), "terminationGracePeriodSeconds must be above 35"),
    ("settings", set_(settings, KITHARA_TRITON="kithara-triton:8002"), "no Service at KITHARA_TRITON"),
    ("settings", set_(lambda o: first(api)(o)["env"][0], value="vision-nlp"), "KITHARA_DOMAIN"),
    (
        "scaling",
        set_(lambda o: spec("HorizontalPodAutoscaler")(o)["scaleTargetRef"], name="absent"),
        "no Deployment absent",
    ),
    ("references", set_(lambda o: llm(o)["volumes"][0]["configMap"], name="absent"), "no ConfigMap absent"),
    ("references", set_(lambda o: secret(first(llm)(o)), key="token"), "no Secret kithara-llm with the key token"),
    ("references", set_(lambda o: secret(first(music)(o)), name="absent"), "no Secret absent with the key database"),
    ("settings", set_(llm, terminationGracePeriodSeconds=60), "kithara-llm-studies: killed before it has drained"),
    ("language_model", set_(profile, **{"profile.toml": 'base_url = "vllm"\nmodel = "m"'}), "is no profile"),
    ("language_model", set_(profile, **{"profile.toml": "model ="}), "is no profile"),
    ("language_model", lambda o: first(llm)(o)["volumeMounts"].pop(), "no ConfigMap is mounted there"),
    (
        "language_model",
        lambda o: profile(o).update({"profile.toml": profile(o)["profile.toml"] + '\napi_key_env = "OTHER_KEY"'}),
        "wants OTHER_KEY, which comes from no Secret",
    ),
    (
        "names",
        lambda o: spec("NetworkPolicy", "kithara-api")(o)["egress"].pop(1),
        "kithara-vision-nlp: may go out but cannot resolve a name",
    ),
    (
        "language_model",
        lambda o: pod(o, "kithara-llm")["metadata"]["labels"].pop("kithara/asks"),
        "no NetworkPolicy lets it reach a language model",
    ),
    (
        "database",
        lambda o: first(music)(o)["env"].pop(2),
        "kithara-music-fewshot: KITHARA_DATABASE comes from no required Secret",
    ),
    ("database", lambda o: first(music)(o)["env"].pop(2), "kithara-music-fewshot: may reach databases"),
    ("database", set_(lambda o: secret(first(music)(o)), optional=True), "comes from no required Secret"),
    (
        "database",
        lambda o: settings(o).update(KITHARA_DATABASE="postgresql+asyncpg://u:p@h/n"),
        "KITHARA_DATABASE stands in a manifest",
    ),
    (
        "database",
        lambda o: pod(o, "kithara-music")["metadata"]["labels"].pop("kithara/asks"),
        "kithara-music-fewshot: no NetworkPolicy lets it reach its database",
    ),
    (
        "database",
        lambda o: pod(o, "kithara-vision")["metadata"]["labels"].update({"kithara/asks": "database"}),
        "kithara-vision-nlp: may reach databases, port 5432, and has none",
    ),
    (
        "uploads",
        lambda o: find(o, "Ingress", "kithara")["metadata"]["annotations"].update({BODY_SIZE: "65m"}),
        "proxy-body-size is 65m, below an upload",
    ),
    ("uploads", lambda o: find(o, "Ingress", "kithara")["metadata"].pop("annotations"), "proxy-body-size is 1m"),
    ("scaling", set_(spec("HorizontalPodAutoscaler"), minReplicas=9), "minReplicas above maxReplicas"),
    ("scaling", set_(spec("Deployment", "kithara-vision"), replicas=3), "sets replicas"),
    ("hardening", set_(lambda o: api(o)["securityContext"], runAsUser=0), "may run as root"),
    ("hardening", set_(lambda o: api(o)["securityContext"], runAsNonRoot=False), "may run as root"),
    ("hardening", set_(lambda o: triton(o)["securityContext"], seccompProfile={"type": "Unconfined"}), "no seccomp"),
    ("hardening", drop(triton, "automountServiceAccountToken"), "service account token"),
    ("hardening", drop(api, "enableServiceLinks"), "service links"),
    (
        "hardening",
        set_(lambda o: first(api)(o)["securityContext"], allowPrivilegeEscalation=True),
        "may gain privileges",
    ),
    ("hardening", set_(lambda o: first(api)(o)["securityContext"], privileged=True), "may gain privileges"),
    (
        "hardening",
        drop(lambda o: first(triton)(o)["securityContext"], "readOnlyRootFilesystem"),
        "root filesystem is writable",
    ),
    (
        "hardening",
        set_(lambda o: first(api)(o)["securityContext"]["capabilities"], add=["NET_RAW"]),
        "keeps capabilities",
    ),
    ("hardening", drop(lambda o: triton(o)["initContainers"][0], "securityContext"), "kithara-triton/models"),
    ("hardening", drop(lambda o: first(api)(o)["resources"]["limits"], "memory"), "no limits of memory"),
    ("hardening", drop(first(triton), "resources"), "no requests of cpu, memory"),
    ("images", set_(first(api), image="registry:5000/kithara-api"), "no fixed tag"),
    ("images", set_(first(triton), image="tritonserver:latest"), "no fixed tag"),
    ("routing", set_(path, path="/v1/visions"), "/v1/visions: the app has no such route"),
    ("routing", set_(path, path="/v1/visions"), "no prefix leads to /v1/vision/classify"),
    ("routing", lambda o: path(o)["backend"]["service"].update(name="absent"), "no Service absent"),
    ("routing", lambda o: path(o)["backend"]["service"].update(port={"name": "grpc"}), "with port grpc"),
    ("triton", lambda o: first(triton)(o)["args"].append("--log-verbose=1"), "not those that the tests"),
    ("triton", set_(triton, terminationGracePeriodSeconds=30), "above --exit-timeout-secs"),
    ("triton", set_(lambda o: first(triton)(o)["ports"][1], containerPort=9001), "port grpc is not --grpc-port"),
    (
        "triton",
        drop(lambda o: next(v for v in triton(o)["volumes"] if v["name"] == "shm")["emptyDir"], "medium"),
        "/dev/shm",
    ),
    (
        "triton",
        set_(lambda o: triton(o)["initContainers"][0], image="kithara-api:0.0.9"),
        "do not come from the API's image",
    ),
]


@pytest.mark.parametrize(("rule", "break_", "expected"), BREAKS, ids=[f"{r}-{i}" for i, (r, _, _) in enumerate(BREAKS)])
def test_every_rule_can_be_broken(rule, break_, expected):
    items = copy.deepcopy(objects("cpu"))
    break_(items)
    found = problems(items, facts())
    assert any(expected in one for one in found), found


def job(items: Objects) -> dict[str, Any]:
    return find_exactly(items, "kithara-study")["spec"]


def last(items: Objects) -> dict[str, Any]:
    return find_exactly(items, "kithara-study-report")["spec"]["template"]


def reporter(items: Objects) -> dict[str, Any]:
    return last(items)["spec"]["containers"][0]


def egress(items: Objects) -> list[dict[str, Any]]:
    return spec("NetworkPolicy", "kithara-language-models")(items)["egress"]


def worker(items: Objects) -> dict[str, Any]:
    return job(items)["template"]["spec"]


STUDY_BREAKS: list[tuple[str, Broken, str]] = [
    ("references", set_(lambda o: worker(o)["volumes"][0]["configMap"], name="absent"), "no ConfigMap absent"),
    (
        "references",
        set_(lambda o: worker(o)["volumes"][1]["persistentVolumeClaim"], claimName="absent"),
        "no PersistentVolumeClaim absent",
    ),
    ("references", set_(lambda o: secret(first(worker)(o)), key="token"), "no Secret kithara-llm with the key token"),
    ("shards", set_(job, completions=4), "its 4 pods need --shard=$(JOB_COMPLETION_INDEX)/4"),
    (
        "shards",
        lambda o: first(worker)(o)["args"].__setitem__(1, "--out=/runs/study"),
        "a run folder has one writer",
    ),
    ("shards", drop(job, "backoffLimitPerIndex"), "set backoffLimitPerIndex"),
    ("shards", set_(spec("PersistentVolumeClaim"), accessModes=["ReadWriteOnce"]), "several nodes cannot write"),
    ("shards", lambda o: first(worker)(o)["args"].append("--no-such-flag"), "--no-such-flag"),
    ("shards", set_(first(worker), command=["kithara", "etude"]), "etude"),
    ("conclusion", set_(reporter, args=["--out=/runs/report"]), "no Job takes over its shards"),
    ("conclusion", lambda o: reporter(o)["args"].remove("/runs/study/5"), "no Job takes over its shards"),
    (
        "conclusion",
        set_(
            reporter,
            command=["kithara", "study", "merge"],
            args=["--out=/runs/report", "--reuse", *(f"/runs/study/{i}" for i in range(8))],
        ),
        "does not run the whole study",
    ),
    ("conclusion", lambda o: reporter(o)["args"].insert(0, "--shard=0/8"), "does not run the whole study"),
    ("conclusion", lambda o: reporter(o)["args"].__setitem__(0, "--config=tiny"), "--config is not that of"),
    ("conclusion", drop(reporter, "env"), "env is not that of kithara-study"),
    (
        "conclusion",
        lambda o: last(o)["metadata"]["labels"].pop("kithara/asks"),
        "kithara-study-report: no NetworkPolicy lets it reach a language model",
    ),
    ("names", lambda o: egress(o).pop(1), "kithara-study: may go out but cannot resolve a name"),
    ("names", lambda o: egress(o)[1]["ports"].pop(0), "kithara-study-report: may go out but cannot resolve a name"),
    ("hardening", set_(lambda o: worker(o)["securityContext"], runAsUser=0), "may run as root"),
    ("images", set_(first(worker), image="kithara-api"), "no fixed tag"),
]


@pytest.mark.parametrize(
    ("rule", "break_", "expected"), STUDY_BREAKS, ids=[f"{r}-{i}" for i, (r, _, _) in enumerate(STUDY_BREAKS)]
)
def test_every_rule_of_a_study_can_be_broken(rule, break_, expected):
    items = copy.deepcopy(study())
    break_(items)
    found = study_problems(items, facts())
    assert any(expected in one for one in found), found


def test_no_rule_is_without_a_break():
    assert {rule.__name__ for rule in RULES} == {rule for rule, _, _ in BREAKS}
    assert {rule.__name__ for rule in STUDY_RULES} == {rule for rule, _, _ in STUDY_BREAKS}
