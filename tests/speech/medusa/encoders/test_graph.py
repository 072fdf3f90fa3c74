"""All in-project encoders in one ONNX graph: the same numbers for any length. One graph, because tracing takes long."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from common.audio.frames import FEATURES, NAMES
from common.export.onnx import export
from contracts import tensors as contract
from speech.medusa.encoders.compact import CompactAcoustic, CompactText
from speech.medusa.encoders.settings import Acoustic, Text
from speech.medusa.encoders.statistics import Statistics
from speech.medusa.model import Padded
from speech.medusa.rows import padded

VOCABULARY = 30
SMALL: dict[str, Any] = {"width": 16, "layers": 2, "heads": 2, "feed_forward": 24}
LENGTHS = (1, 2, 5, 12, 60, 131)


def clip(frames: int) -> np.ndarray:
    rng = np.random.default_rng(frames)
    rows = rng.normal(-3, 2, (frames, FEATURES)).astype(np.float32)
    rows[:, NAMES.index("voicing")] = rng.uniform(0, 1, frames)
    return rows


def given(lengths: tuple[int, ...]) -> dict[str, Tensor]:
    frames = padded([torch.from_numpy(clip(n)) for n in lengths])
    words = [torch.from_numpy(np.random.default_rng(n).integers(0, VOCABULARY, n)) for n in lengths]
    ids = nn.utils.rnn.pad_sequence(words, batch_first=True, padding_value=-1)
    return {"frames": frames.x, "frames_mask": frames.mask, "ids": ids, "ids_mask": ids >= 0}


class Sums(nn.Module):
    """Of each encoder, over its frames; and how many these are."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.windows, self.whole = Statistics(NAMES, 40, 10), Statistics(NAMES, None)
        self.acoustic, self.text = CompactAcoustic(Acoustic(**SMALL)), CompactText(Text(**SMALL), VOCABULARY)
        for encoder in (self.windows, self.whole, self.acoustic):
            encoder.fit([clip(200), clip(90)])

    def forward(self, frames: Tensor, frames_mask: Tensor, ids: Tensor, ids_mask: Tensor) -> tuple[Tensor, ...]:
        heard = Padded(frames, frames_mask)
        found = (self.windows(heard), self.whole(heard), self.acoustic(heard), self.text(ids, ids_mask))
        return tuple(torch.cat([f.x.masked_fill(~f.mask[..., None], 0.0).sum(1), count(f)], 1) for f in found)


def count(found: Padded) -> Tensor:
    return found.mask.sum(1, keepdim=True).to(found.x.dtype)


def test_the_graph_gives_the_numbers_of_torch_for_any_length(tmp_path: Path) -> None:
    """Specification, section 10, check 11: dynamic length."""
    module = Sums().eval()
    kinds = {"frames": ("float32", FEATURES), "frames_mask": ("bool",), "ids": ("int64",), "ids_mask": ("bool",)}
    inputs = tuple(
        contract.Tensor(name=name, dtype=cast(Any, kind), dims=("batch", name.split("_")[0], *rest))
        for name, (kind, *rest) in kinds.items()
    )
    widths = {"windows": module.windows.dim, "whole": module.whole.dim, "acoustic": 16, "text": 16}
    outputs = tuple(contract.Tensor(name=n, dtype="float32", dims=("batch", w + 1)) for n, w in widths.items())
    signature = contract.Signature(inputs=inputs, outputs=outputs)
    export(module, signature, given((50, 37)), tmp_path / "graph.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "graph.onnx", providers=["CPUExecutionProvider"])
    for lengths in (LENGTHS, (1,), (700,)):
        asked = given(lengths)
        with torch.inference_mode():
            wanted = module(**asked)
        found = session.run(None, {name: value.numpy() for name, value in asked.items()})
        for one, other in zip(found, wanted, strict=True):
            assert one[:, :-1] == pytest.approx(other.numpy()[:, :-1], rel=1e-4, abs=1e-3)
            assert np.array_equal(one[:, -1], other.numpy()[:, -1])
