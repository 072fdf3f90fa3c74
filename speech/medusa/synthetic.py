"""Made clips (specification, section 9, level L0): no stream alone, and no sum over streams, tells the emotion.

They come in the layout of the speech front end, so that everything from the stream on is the code of real recordings:
an acoustic factor a shows in the mel bands, a text factor t in the descriptors, and the class is (a + 2 t) mod 8.
"""

import hashlib
from typing import NamedTuple

import numpy as np
import torch

from common.audio.frames import FEATURES, MELS
from contracts.models import DataSource
from contracts.speech import FRAMES
from speech.medusa.config import ATTRIBUTES, Config, Synthetic
from speech.medusa.rows import Rows, Sets

CLASSES = ("Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Contempt", "Neutral")
SHARES = (0.13, 0.12, 0.21, 0.07, 0.05, 0.06, 0.08, 0.28)
"""Of the classes in training; dev and test are balanced."""
TEXTS = 4
"""Values of the text factor: 2 t mod 8 has no more."""
FRAMES_FROM, FRAMES_TO = 6, 15
"""Frames of a clip, the upper bound not included."""
SPEAKER, JUDGE = 0.4, 0.3
"""Standard deviations of what a speaker adds to every feature, and of an attribute around its class."""


class Factors(NamedTuple):
    """What the two factors look like, for all splits."""

    acoustic: np.ndarray
    """float64 (8, MELS)"""
    text: np.ndarray
    """float64 (TEXTS, FEATURES - MELS)"""


class Emotions(NamedTuple):
    """What is to be heard in every clip."""

    first: np.ndarray
    """int64 (n,): the class, of a mixture that with most votes"""
    second: np.ndarray
    """int64 (n,): the other class of a mixture"""
    share: np.ndarray
    """float64 (n,): of the first; 1 without mixture"""


def synthetic_sets(config: Config) -> Sets:
    """All three splits, a function of the configuration's seed and ``data.synthetic`` alone.

    Training clips carry the votes of ``annotators``; dev and test carry the truth, which a made set knows.
    """
    settings = config.data.synthetic
    rng = np.random.default_rng([config.seed, 0])
    factors = Factors(rng.normal(size=(8, MELS)), rng.normal(size=(TEXTS, FEATURES - MELS)))
    train, dev, test = (
        _rows(name, size, settings, factors, np.random.default_rng([config.seed, number]))
        for number, (name, size) in enumerate(
            (("train", settings.train), ("dev", settings.dev), ("test", settings.test)), start=1
        )
    )
    return Sets(
        train=train,
        dev=dev,
        test=test,
        classes=CLASSES,
        judged=True,
        source=_source(train, dev, test),
        soft=True,
        bad=(),
        use="open",
        keys={FRAMES: "synthetic-1"},
    )


def _rows(name: str, n: int, settings: Synthetic, factors: Factors, rng: np.random.Generator) -> Rows:
    learnt = name == "train"
    first = rng.choice(8, n, p=SHARES) if learnt else np.arange(n) % 8
    emotions = _emotions(first, settings, rng)
    truth = _truth(emotions)
    votes = _votes(emotions, truth, settings, rng) if learnt else truth
    speakers = rng.integers(settings.speakers, size=n)
    offsets = SPEAKER * rng.normal(size=(settings.speakers, FEATURES))
    heard = _frames(emotions, factors, offsets[speakers], settings.noise, rng)
    top = votes.max(1, keepdims=True)
    return Rows(
        ids=tuple(f"{name}-{i:05d}" for i in range(n)),
        speakers=tuple(f"{name}-{speaker:02d}" for speaker in speakers),
        texts=("",) * n,
        streams={FRAMES: heard},
        targets=torch.from_numpy(votes.astype(np.float32)),
        attributes=torch.from_numpy(_attributes(truth, rng).astype(np.float32)),
        consensus=torch.from_numpy((votes == top).sum(1) == 1),
    )


def _emotions(first: np.ndarray, settings: Synthetic, rng: np.random.Generator) -> Emotions:
    """Of a mixture, so many of the annotators hear the first emotion, at least half of them, but never all."""
    n, voters = len(first), settings.annotators
    mixed = (rng.random(n) < settings.mixtures) & (voters > 1)
    second = (first + rng.integers(1, 8, n)) % 8
    share = rng.integers(-(-voters // 2), max(voters, 2), n) / voters
    return Emotions(first, second, np.where(mixed, share, 1.0))


def _truth(emotions: Emotions) -> np.ndarray:
    """float64 (n, 8): both emotions of a clip in their proportion."""
    one = np.eye(8)
    share = emotions.share[:, None]
    return share * one[emotions.first] + (1 - share) * one[emotions.second]


def _votes(emotions: Emotions, truth: np.ndarray, settings: Synthetic, rng: np.random.Generator) -> np.ndarray:
    """float64 (n, 8), rows sum to 1: K annotators who now and then err, towards Neutral above all.

    A mixture's votes are its proportion exactly: there, ambiguity is in what is heard, not in who listens.
    """
    astray = settings.neutral
    chances = (1 - 2 * astray) * truth + astray / 8
    chances[:, -1] += astray
    drawn = rng.multinomial(settings.annotators, chances) / settings.annotators
    return np.where(emotions.share[:, None] < 1, truth, drawn)


def _frames(
    emotions: Emotions, factors: Factors, offsets: np.ndarray, noise: float, rng: np.random.Generator
) -> list[torch.Tensor]:
    """float32 (frames, FEATURES) each: the factors of both emotions, louder and softer over time, and noise."""
    parts = []
    for emotion in (emotions.first, emotions.second):
        text = rng.integers(TEXTS, size=len(emotion))
        acoustic = (emotion - 2 * text) % 8
        parts.append(np.concatenate([factors.acoustic[acoustic], factors.text[text]], 1))
    share = emotions.share[:, None]
    signal = share * parts[0] + (1 - share) * parts[1]
    heard = []
    for row, offset in zip(signal, offsets, strict=True):
        frames = int(rng.integers(FRAMES_FROM, FRAMES_TO))
        clip = rng.uniform(0, 1, (frames, 1)) * row + offset + noise * rng.normal(size=(frames, FEATURES))
        heard.append(torch.from_numpy(clip.astype(np.float32)))
    return heard


def _attributes(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """float64 (n, 3) within 1 to 7: smooth functions of the class, and noise."""
    angle = 2 * np.pi * np.arange(8) / 8
    centres = 4 + 2.5 * np.stack([np.cos(angle), np.sin(angle), np.cos(angle + 1)], 1)
    return np.clip(truth @ centres + JUDGE * rng.normal(size=(len(truth), len(ATTRIBUTES))), 1, 7)


def _source(*splits: Rows) -> DataSource:
    digest = hashlib.sha256()
    for rows in splits:
        for clip in rows.streams[FRAMES]:
            digest.update(clip.numpy().tobytes())
        digest.update(rows.targets.numpy().tobytes() + rows.attributes.numpy().tobytes())
    return DataSource(
        name="synthetic",
        licence="Apache-2.0 (made by this package)",
        sha256=digest.hexdigest(),
        items=sum(map(len, splits)),
    )
