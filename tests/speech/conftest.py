"""A small real ensemble: attention over frames in torch, exported as the suite exports, and recordings for it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import numpy as np
import pytest
import soundfile
import torch
from tokenizers import Tokenizer
from torch import nn

from common.audio.frames import FEATURES, FRONT_END, speech_frames
from common.export.onnx import export
from common.registry.cards import DRAFT
from common.registry.golden import write_golden
from common.registry.store import Repository
from common.settings import Settings
from common.text.tokenizer import learn_tokenizer
from contracts.examples import EXAMPLES
from contracts.models import DataSource, Limits, ModelCard, SpeechInput, TextInput
from contracts.speech import MODEL, emotion_signature
from contracts.tensors import Signature
from deploy.app import create_app

RATE, LONGEST, TEMPERATURE = 16_000, 4.0, 1.7
LABELS = ("anger", "boredom", "joy", "neutral")
WIDTH, VOCABULARY, MOST_TOKENS = 12, 300, 6
WORDS = ("glad", "angry", "never", "again", "rain", "sun", "thank", "you")
READER = "speech-reader"
Client = AbstractAsyncContextManager[httpx.AsyncClient]


class Ears(nn.Module):
    """tanh(frames W), one masked attention, the masked mean; to it the mean of the words' vectors; then the heads."""

    def __init__(self, seed: int, *, reads: bool, judges: bool) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.reads, self.judges = reads, judges
        self.inner, self.project = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.words = nn.Embedding(VOCABULARY, WIDTH)
        self.emotion, self.attribute = nn.Linear(WIDTH, len(LABELS)), nn.Linear(WIDTH, 3)
        with torch.no_grad():
            self.inner.weight *= 0.5
            self.emotion.weight *= 6

    def heard(self, frames: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.inner(frames))
        q, k, v = self.project(x).chunk(3, -1)
        weights = (q @ k.transpose(1, 2)).masked_fill(~mask[:, None, :], -1e9).softmax(-1)
        return ((x + weights @ v) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def judged(self, h: torch.Tensor) -> tuple[torch.Tensor, ...]:
        attributes = (1 + 6 * torch.sigmoid(3 * self.attribute(h)),) if self.judges else ()
        return (self.emotion(h), *attributes, torch.relu(h))

    def forward(self, frames: torch.Tensor, frames_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.judged(self.heard(frames, frames_mask))


class Reader(Ears):
    """The same, with a transcript."""

    def forward(
        self, frames: torch.Tensor, frames_mask: torch.Tensor, ids: torch.Tensor, ids_mask: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        read = (self.words(ids) * ids_mask[..., None]).sum(1) / ids_mask.sum(1, keepdim=True).clamp(min=1)
        return self.judged(self.heard(frames, frames_mask) + read)


class Outputs(NamedTuple):
    """Of the module itself for one row of samples, as float64."""

    logits: np.ndarray
    attributes: np.ndarray | None
    embedding: np.ndarray

    def probabilities(self, temperature: float = TEMPERATURE) -> np.ndarray:
        exp = np.exp(self.logits / temperature - (self.logits / temperature).max())
        return exp / exp.sum()


def tokenizer() -> Tokenizer:
    return learn_tokenizer([" ".join(WORDS)] * 3, VOCABULARY)


class Toy(NamedTuple):
    """A model and its name."""

    name: str
    module: Ears

    def answer(self, samples: np.ndarray, ids: list[int] | None = None) -> Outputs:
        """For one row of samples, without padding, batches, ONNX or the suite's service."""
        frames = torch.from_numpy(speech_frames(samples.astype(np.float32)))[None]
        inputs = [frames, torch.ones(frames.shape[:2], dtype=torch.bool)]
        if self.module.reads:
            words = torch.tensor([ids or [0]])
            inputs += [words, torch.full(words.shape, bool(ids))]
        with torch.inference_mode():
            out = [o[0].double().numpy() for o in self.module(*inputs)]
        return Outputs(out[0], out[1] if self.module.judges else None, out[-1])

    def publish(self, root: Path, **changes: Any) -> ModelCard:
        """One more version of it."""
        root.mkdir(exist_ok=True, parents=True)
        signature, inputs = self.signature(), self._golden_inputs()
        with torch.inference_mode():
            outputs = self.module(*inputs.values())
        export(self.module, signature, inputs, root / ".graph.onnx")
        write_golden(
            root / ".golden.npz",
            {name: tensor.numpy() for name, tensor in inputs.items()},
            {t.name: out.numpy() for t, out in zip(signature.outputs, outputs, strict=True)},
        )
        return self.put(root, **changes)

    def _golden_inputs(self) -> dict[str, torch.Tensor]:
        rows = torch.from_numpy(np.stack([speech_frames(voice(seed, 0.3).samples) for seed in (1, 2)]))
        inputs = {"frames": rows, "frames_mask": torch.ones(rows.shape[:2], dtype=torch.bool)}
        if self.module.reads:
            inputs |= {"ids": torch.tensor([[5, 6], [7, 0]]), "ids_mask": torch.tensor([[True, True], [True, False]])}
        return inputs

    def signature(self) -> Signature:
        return emotion_signature(FEATURES, len(LABELS), WIDTH, attributes=self.module.judges, text=self.module.reads)

    def put(self, root: Path, **changes: Any) -> ModelCard:
        """The graph that was published last, under another card."""
        heard = SpeechInput(
            front_end=FRONT_END, longest=LONGEST, attributes=self.module.judges, temperature=TEMPERATURE
        )
        example = next(e for e in EXAMPLES if isinstance(e, ModelCard))
        data = (DataSource(name="emodb", licence="CC0-1.0", sha256="0" * 64, items=2),)
        made = {
            **DRAFT,
            "name": self.name,
            "system": "medusa",
            "task": "speech-emotion",
            "signature": self.signature(),
            "image": None,
            "speech": heard,
            "text": TextInput(tokenizer="tokenizer.json", max_tokens=MOST_TOKENS) if self.module.reads else None,
            "labels": LABELS,
            "limits": Limits(max_rows=8, max_cost=20_000),
            "lineage": msgspec.structs.replace(example.lineage, data=data),
            "golden_tolerance": 1e-3,
        }
        files = {"tokenizer.json": tokenizer().to_str().encode()} if self.module.reads else {}
        draft = msgspec.structs.replace(example, **{**made, **changes})
        return Repository(root).publish(draft, root / ".graph.onnx", root / ".golden.npz", files).card


class Voice(NamedTuple):
    """A recording as samples and as the file that is sent."""

    samples: np.ndarray
    """float32 (n,)"""
    file: bytes


def voice(seed: int, seconds: float = 1.5, rate: int = RATE, **kind: Any) -> Voice:
    """Syllables: a gliding pitch with overtones that comes and goes, and some noise; which hangs on ``seed``."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    pitch = rng.uniform(90, 240) * (1 + 0.2 * np.sin(2 * np.pi * rng.uniform(0.3, 2) * t))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    tones = sum(rng.uniform(0.2, 1) / n * np.sin(n * phase) for n in range(1, 9))
    sound = 0.2 * tones * (0.55 + 0.45 * np.sin(2 * np.pi * rng.uniform(2, 5) * t))
    samples = np.round((sound + rng.uniform(0.001, 0.02) * rng.standard_normal(len(t))) * 32767).clip(-32767, 32767)
    return Voice((samples / 32768).astype(np.float32), encoded(samples.astype(np.int16), rate, **kind))


def encoded(samples: np.ndarray, rate: int = RATE, form: str = "WAV", subtype: str = "PCM_16") -> bytes:
    out = BytesIO()
    soundfile.write(out, samples, rate, format=form, subtype=subtype)
    return out.getvalue()


@pytest.fixture(scope="session")
def hearer() -> Toy:
    """The default model: sound alone, no attributes."""
    return Toy(MODEL, Ears(1, reads=False, judges=False).eval())


@pytest.fixture(scope="session")
def reader() -> Toy:
    """``speech-reader``: sound and a transcript, with attributes."""
    return Toy(READER, Reader(2, reads=True, judges=True).eval())


@pytest.fixture(scope="session")
def models_root(hearer: Toy, reader: Toy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that nobody may change: both models, and ``deaf``, the same graph whose card hears nothing."""
    root = tmp_path_factory.mktemp("speech-models")
    hearer.publish(root)
    hearer._replace(name="deaf").put(root, speech=None, task="image-classification")
    reader.publish(root)
    return root


@pytest.fixture(scope="session")
def open_suite(in_process: Callable[[Any], Client]) -> Callable[..., Client]:
    """``open_suite(repository)``: a client of the app that serves these models."""
    return lambda root, **given: in_process(
        create_app(Settings(models=str(root), access_log=False, threads=1, domain="speech", **given))
    )


@pytest.fixture(scope="session")
def make_voice() -> Callable[..., Voice]:
    """``make_voice(seed, seconds, rate, form=..., subtype=...)``"""
    return voice


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """``encode(samples, rate, form=..., subtype=...)``: a sound file of int16 samples."""
    return encoded


@pytest.fixture(scope="session")
def read_words() -> Callable[[str], list[int]]:
    """Ids of a text in the reader's own tokens."""
    return lambda text: tokenizer().encode(text, add_special_tokens=False).ids
