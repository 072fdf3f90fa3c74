"""A small real embedding, clips for it, and what an embedding of them must be, computed apart from the suite."""

from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import onnx
import pytest
import soundfile
from onnx import helper, numpy_helper

from common.registry.cards import DRAFT
from common.registry.golden import write_golden
from common.registry.store import Repository
from contracts.examples import EXAMPLES
from contracts.models import AudioInput, Limits, ModelCard
from contracts.music_fewshot import MODEL, clip_signature

RATE, WINDOW, HIDDEN, DIMENSIONS = 8_000, 4_000, 32, 8
SECONDS = WINDOW / RATE


class Projection(NamedTuple):
    """embedding = |waveform @ inner| @ outer"""

    inner: np.ndarray
    outer: np.ndarray

    def of_samples(self, samples: np.ndarray) -> np.ndarray:
        """float32 (D,) of float (n,) samples: windows, graph, mean."""
        rows = np.array([samples[s : s + WINDOW] for s in range(0, len(samples) - WINDOW + 1, WINDOW)], np.float64)
        if not len(rows):
            rows = np.concatenate([samples] * (WINDOW // len(samples) + 1))[None, :WINDOW]
        return (np.abs(rows @ self.inner.astype(np.float64)) @ self.outer).mean(0).astype(np.float32)

    def graph(self) -> onnx.ModelProto:
        """The same as ONNX."""
        nodes = [
            helper.make_node("MatMul", ["waveform", "inner"], ["hidden"]),
            helper.make_node("Abs", ["hidden"], ["loud"]),
            helper.make_node("MatMul", ["loud", "outer"], ["embedding"]),
        ]
        ends = [
            [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", size])]
            for name, size in (("waveform", WINDOW), ("embedding", DIMENSIONS))
        ]
        weights = [numpy_helper.from_array(self.inner, "inner"), numpy_helper.from_array(self.outer, "outer")]
        body = helper.make_graph(nodes, "projection", *ends, weights)
        return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def projection(seed: int) -> Projection:
    rng = np.random.default_rng(seed)
    inner = rng.standard_normal((WINDOW, HIDDEN)) / np.sqrt(WINDOW)
    outer = rng.standard_normal((HIDDEN, DIMENSIONS))
    return Projection(inner.astype(np.float32), outer.astype(np.float32))


def publish(root: Path, work: Path, seed: int, name: str = MODEL, audio: bool = True) -> None:
    """One more version of a model, whose weights are those of ``projection(seed)``."""
    work.mkdir(exist_ok=True, parents=True)
    made = projection(seed)
    onnx.save(made.graph(), work / "model.onnx")
    sounds = np.random.default_rng(0).uniform(-1, 1, (2, WINDOW)).astype(np.float32)
    write_golden(
        work / "golden.npz", {"waveform": sounds}, {"embedding": np.stack([made.of_samples(sound) for sound in sounds])}
    )
    card = msgspec.structs.replace(
        next(e for e in EXAMPLES if isinstance(e, ModelCard)),
        **DRAFT,
        name=name,
        system="lc_protonets",
        task="music-embedding",
        labels=(),
        signature=clip_signature(WINDOW, DIMENSIONS),
        image=None,
        audio=AudioInput(sample_rate=RATE, window=WINDOW) if audio else None,
        limits=Limits(max_rows=3),
        golden_tolerance=1e-3,
    )
    Repository(root).publish(card, work / "model.onnx", work / "golden.npz")


class Sound(NamedTuple):
    """A clip as samples and as the file that is sent."""

    samples: np.ndarray
    """float64 (n,)"""
    file: bytes
    media: str = "audio/wav"


def sound(seed: int, seconds: float = 1.2, rate: int = RATE) -> Sound:
    """Two tones and noise; which ones hangs on ``seed``."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    tones = sum(rng.uniform(0.1, 0.4) * np.sin(2 * np.pi * rng.uniform(60, 1500) * t) for _ in range(2))
    samples = np.round((tones + 0.02 * rng.standard_normal(len(t))) * 32767).astype(np.int16)
    out = BytesIO()
    soundfile.write(out, samples, rate, format="WAV", subtype="PCM_16")
    return Sound(samples / 32768, out.getvalue())


@pytest.fixture(scope="session")
def make_sound():
    """``make_sound(seed, seconds=..., rate=...)``"""
    return sound


@pytest.fixture(scope="session")
def make_projection():
    """``make_projection(seed)``: the weights behind ``publish_model(..., seed)``."""
    return projection


@pytest.fixture(scope="session")
def publish_model():
    """``publish_model(root, work, seed, name=..., audio=...)``"""
    return publish


@pytest.fixture(scope="session")
def models_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the embedding (seed 1) and a model of the same graph whose card names no sound."""
    folder = tmp_path_factory.mktemp("music-models")
    publish(folder / "models", folder / "work", 1)
    publish(folder / "models", folder / "work", 1, name="deaf", audio=False)
    return folder / "models"
