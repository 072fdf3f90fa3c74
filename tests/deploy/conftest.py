"""A small system in a folder of its own, found by the suite as any other: the command line is tested on it."""

import importlib
import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper

import vision_nlp
from common.registry.golden import write_golden
from common.registry.store import Repository
from contracts.models import DataSource, Lineage, Metric, ModelCard
from contracts.tensors import Signature, Tensor
from deploy.cli import main

STANDIN = Path(__file__).parent / "standin"


class Ran(NamedTuple):
    """What one command line did."""

    status: int
    out: str
    err: str


@pytest.fixture
def kithara(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """``kithara("train", "x")`` in this process; the whole of stdout and stderr is caught, also of native code."""

    def run(*argv: str) -> Ran:
        status = main(argv)
        return Ran(status, *capfd.readouterr())

    return run


@pytest.fixture
def standin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Adds the system ``standin`` to the domain vision_nlp, and makes an empty folder the current one."""
    domain = tmp_path / "domain"
    shutil.copytree(STANDIN, domain / "standin")
    monkeypatch.setattr(vision_nlp, "__path__", [*vision_nlp.__path__, str(domain)])
    monkeypatch.chdir(tmp_path)
    for name in ("KITHARA_DATA", "KITHARA_MODELS", "RANK"):
        monkeypatch.delenv(name, raising=False)
    importlib.invalidate_caches()
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("vision_nlp.standin")]:
        del sys.modules[name]
    vars(vision_nlp).pop("standin", None)


class Simulated(NamedTuple):
    """A running ``kithara llm simulate``."""

    url: str
    process: subprocess.Popen[str]

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url.removesuffix('/v1')}/stats") as answer:
            return json.load(answer)


@pytest.fixture
def simulate() -> Iterator[Callable[..., Simulated]]:
    """``simulate("--kind", "solver")``: a real process on a free port; ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*flags: str, env: dict[str, str] | None = None) -> Simulated:
        command = [sys.executable, "-m", "deploy.cli", "llm", "simulate", "--port", "0", *flags]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env))
        url = started[-1].stdout.readline().strip() if started[-1].stdout else ""
        assert url.startswith("http://127.0.0.1:"), url
        return Simulated(url, started[-1])

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


class Doubler:
    """A model repository with ``doubler``: ``y = x + x`` over rows of two. Starts with version 1."""

    def __init__(self, root: Path, work: Path) -> None:
        self.root, self._work = root, work
        root.mkdir()
        work.mkdir()
        self.publish()

    def publish(self, factor: float = 2.0, **changes: Any) -> None:
        """One more version, whose golden output is ``factor`` times the input: true for 2. ``changes`` of its card."""
        x = np.array([[1.0, -3.0]], np.float32)
        write_golden(self._work / "golden.npz", {"x": x}, {"y": np.float32(factor) * x})
        rows = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in "xy"]
        body = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "doubler", rows[:1], rows[1:])
        graph = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        (self._work / "model.onnx").write_bytes(graph.SerializeToString())
        card = msgspec.structs.replace(CARD, **changes)
        Repository(self.root).publish(card, self._work / "model.onnx", self._work / "golden.npz")


CARD = ModelCard(
    name="doubler",
    version=1,
    system="standin",
    task="image-classification",
    paper="none",
    description="Doubles two numbers.",
    use="open",
    signature=Signature(
        inputs=(Tensor(name="x", dtype="float32", dims=("batch", 2)),),
        outputs=(Tensor(name="y", dtype="float32", dims=("batch", 2)),),
    ),
    labels=("left", "right"),
    metrics=(Metric(name="accuracy", split="test", value=1.0, n=1),),
    caveats=("Knows two numbers only.",),
    lineage=Lineage(
        command="kithara train standin",
        run="one",
        config={},
        data=(DataSource(name="none", licence="CC0-1.0", sha256="0" * 64, items=1),),
        created="2026-01-01T00:00:00Z",
        software={},
    ),
    graph_sha256="0" * 64,
    golden_sha256="0" * 64,
)


@pytest.fixture
def doubler(tmp_path: Path) -> Doubler:
    """A fresh repository."""
    return Doubler(tmp_path / "models", tmp_path / "work")
