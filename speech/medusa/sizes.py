"""How much speech one execution of an ensemble may hear, and inputs that prove its graph at these sizes."""

from collections.abc import Mapping
from typing import NamedTuple, cast

import numpy as np
import torch

from common.audio.frames import FEATURES, RATE, speech_frames
from common.audio.functionals import FUNCTIONALS as NUMBERS
from common.audio.functionals import functionals
from common.export.parity import Sample
from contracts.media import MIB
from contracts.models import Limits
from contracts.speech import FRAMES, FRAMES_MASK, FUNCTIONALS, IDS, IDS_MASK
from contracts.tensors import BATCH
from contracts.text import TOKENS
from speech.inputs import frames
from speech.medusa.ensemble import Ensemble
from speech.medusa.model import DeepSER, Padded
from speech.medusa.streams import reads

LONGEST = (30.0, 20.0, 15.0, 10.0, 5.0)
"""Seconds of one row; the first whose attention fits."""
MEMORY = 64 * MIB
"""That the attention weights of one fusion encoder may take in one execution; a server holds several such at once."""
MAX_ROWS, LONG_ROWS = 32, 4
"""Rows of one execution, and so many of the longest: more at once are no faster on a CPU."""
DEADLINE = 30.0
"""Seconds that an execution may wait for others: long recordings queue behind one another."""


class Sizes(NamedTuple):
    """Of the largest execution."""

    longest: float
    """Seconds of one row"""
    frames: int
    """Of that row"""
    limits: Limits

    def golden(self, seconds: float) -> int:
        """Frames of so many seconds, or of the longest row where that is shorter."""
        return min(self.frames, _frames(seconds))


def sizes(model: Ensemble, heads: int, tokens: int) -> Sizes:
    """The longest row whose attention fits, and as many of them; one of 5 s is taken whatever it costs."""
    tokens = tokens if model.text else 1
    memory = {seconds: 4 * heads * positions(model, _frames(seconds), tokens) ** 2 for seconds in LONGEST}
    longest = next((seconds for seconds in LONGEST if memory[seconds] <= MEMORY), LONGEST[-1])
    rows, count = max(1, min(LONG_ROWS, MEMORY // memory[longest])), _frames(longest)
    # The cost of a row hangs on its words too: where it has none, the number of rows alone bounds what is heard.
    most = LONG_ROWS if model.text else MAX_ROWS
    return Sizes(longest, count, Limits(max_rows=most, max_cost=rows * count * tokens, deadline=DEADLINE))


def positions(model: Ensemble, count: int, tokens: int) -> int:
    """What the second fusion encoder of the largest member sees: twice the lengths of its streams behind their stems
    (specification, section 1)."""
    mask = torch.ones(1, count, dtype=torch.bool)
    ids, words = torch.zeros(1, tokens, dtype=torch.int64), torch.ones(1, tokens, dtype=torch.bool)
    heard, whole = Padded(torch.zeros(1, count, FEATURES), mask), torch.zeros(1, len(NUMBERS))
    given = {FRAMES: (heard,), IDS: (ids, words), FUNCTIONALS: (whole,)}
    with torch.no_grad():
        streams = {name: source(*given[reads(source)]) for name, source in model.sources.items()}
        return max(2 * _lengths(cast(DeepSER, member), streams) for member in model.members)


def _lengths(member: DeepSER, streams: Mapping[str, Padded]) -> int:
    stems = member.stems
    return sum((stems[name](streams[name]) if name in stems else streams[name]).x.shape[1] for name in member.streams)


def _frames(seconds: float) -> int:
    return frames(round(seconds * RATE))


def sampler(vocabulary: int, *, described: bool = False) -> Sample:
    """Frames of sound as a server makes them, recordings from the longest to one frame, rubbish under the padding.

    ``vocabulary``: of the tokens, where the graph takes any; a text without one is among them. ``described``: the graph
    takes functionals.
    """
    sound = speech_frames(_sound(LONGEST[0]))

    def sample(wanted: Mapping[str, int]) -> dict[str, np.ndarray]:
        rows, longest = wanted[BATCH], wanted[FRAMES]
        starts = np.random.default_rng(rows).integers(0, len(sound), rows)
        heard = np.stack([np.roll(sound, -start, axis=0)[:longest] for start in starts])
        inputs = {FRAMES: heard, FRAMES_MASK: _mask(rows, longest, 1)}
        if described:
            clips = zip(heard, inputs[FRAMES_MASK], strict=True)
            inputs[FUNCTIONALS] = np.stack([functionals(clip[mask]) for clip, mask in clips])
        if vocabulary:
            ids = np.random.default_rng(rows).integers(0, vocabulary, (rows, wanted[TOKENS]))
            inputs |= {IDS: ids, IDS_MASK: _mask(rows, wanted[TOKENS], 0)}
        return inputs

    return sample


def _mask(rows: int, longest: int, shortest: int) -> np.ndarray:
    lengths = np.linspace(longest, shortest, rows).round().astype(np.int64)
    return np.arange(longest) < lengths[:, None]


def _sound(seconds: float) -> np.ndarray:
    """Tones that come, glide and go over noise; float32 (n,)."""
    t = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(150 * (1 + 0.4 * np.sin(0.9 * t))) / RATE
    tones = sum(np.sin(n * phase) / n for n in range(1, 12))
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (0.1 * tones * (1 + np.sin(2 * np.pi * 1.3 * t)) + 0.02 * noise).astype(np.float32)
