"""Who says what and how in made speech: the tables of the emotions, and lines drawn from them.

Every clip has a mixture of one or two emotions. The mixture moves pitch, melody, speed and loudness away from the
voice's own, with more noise than emotions lie apart; it picks the sentence's telling word; and it is the target, so
that soft targets say what is truly in the clip. Neither the sound nor the words alone tell everything.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from speech.medusa.config import HIGH, LOW
from speech.medusa.corpora.corpus import Split
from speech.medusa.espeak import Manner
from speech.medusa.synthetic import CLASSES, SHARES

VOICES: dict[Split, tuple[str, ...]] = {
    "train": tuple(f"{accent}+{v}" for accent in ("en-us", "en-gb-scotland") for v in ("m1", "m2", "m3", "f1", "f2")),
    "dev": ("en-us+m4", "en-us+f3"),
    "test": ("en-gb+m7", "en-gb+f4", "en-us+m5", "en-us+f5"),
}
"""Accent and timbre; no timbre is heard in two splits."""
MANNERS = np.array(
    (
        (56, 150, 190, 150),
        (38, 40, 135, 70),
        (62, 160, 185, 115),
        (68, 190, 170, 110),
        (64, 70, 200, 75),
        (42, 90, 150, 95),
        (44, 130, 155, 85),
        (50, 100, 170, 100),
    ),
    np.float64,
)
"""(classes, 4): pitch, range, speed and amplitude of each emotion, as ``Manner`` has them."""
SPREAD = np.array((8.0, 30.0, 18.0, 25.0))
"""Standard deviation of each around the mixture's: neighbouring emotions overlap."""
PERSON = np.array((6.0, 15.0, 10.0, 10.0))
"""Standard deviation of what is a speaker's own."""
MEANT = np.array(
    (
        (1.5, -1.2, 1.3),
        (-1.5, -1.2, -1.0),
        (0.9, 1.7, 0.6),
        (1.2, 0.4, 0.0),
        (1.1, -1.3, -1.4),
        (0.1, -1.4, 0.4),
        (-0.2, -0.9, 0.9),
        (-0.4, 0.0, 0.1),
    )
)
"""(classes, 3): arousal, valence and dominance on the line before the scale of 1 to 7."""
LEXICON = (
    ("outrageous", "unfair", "hateful", "infuriating"),
    ("lonely", "hopeless", "tearful", "sorrowful"),
    ("wonderful", "delightful", "joyful", "lovely"),
    ("unexpected", "astonishing", "sudden", "unbelievable"),
    ("frightening", "dangerous", "threatening", "alarming"),
    ("disgusting", "rotten", "filthy", "revolting"),
    ("ridiculous", "pathetic", "worthless", "laughable"),
    ("usual", "second", "local", "short"),
)
OPENINGS = ("They told me about the", "I am still thinking of that", "We talked about this", "Everybody saw the",
            "You were there for the", "She wrote to us about the")  # fmt: skip
TOPICS = ("letter", "meeting", "dinner", "journey", "story", "visit", "picture", "evening")
ENDINGS = ("yesterday", "this morning", "in the kitchen", "at the station", "once again")
NOISE = (0.001, 0.01)
"""Standard deviations of the microphone's noise, from least to most; speech has about 0.1."""


class Plan(NamedTuple):
    """How much, and how hard."""

    train: int = 1_600
    dev: int = 160
    test: int = 400
    mixtures: float = 0.4
    """Share of the clips with two emotions."""
    telling: float = 0.5
    """Share of the sentences whose word belongs to the clip's emotion; the others have a plain word."""


class Line(NamedTuple):
    """One clip before it is said."""

    split: Split
    voice: str
    text: str
    manner: Manner
    noise: float
    """Standard deviation of the microphone's"""
    seed: int
    """Of the noise."""
    mixture: np.ndarray
    """float64 (classes,), sums to 1"""
    attributes: np.ndarray
    """float64 (3,), 1 to 7"""


def script(plan: Plan, seed: int) -> Iterator[Line]:
    """All lines, those of training first. Classes are as rare as SHARES says in training, balanced in dev and test.

    In training a mixture may be even, which leaves the clip without consensus.
    """
    for number, split in enumerate(VOICES):
        rng = np.random.default_rng([seed, number])
        people = {voice: rng.normal(size=len(SPREAD)) * PERSON for voice in VOICES[split]}
        for i in range(getattr(plan, split)):
            voice = VOICES[split][i // len(CLASSES) % len(people)]
            first = int(rng.choice(len(CLASSES), p=SHARES)) if split == "train" else i % len(CLASSES)
            mixture = _mixture(first, 5 if split == "train" else 6, plan.mixtures, rng)
            yield _line(split, voice, people[voice], mixture, plan.telling, rng)


def _mixture(first: int, least: int, mixtures: float, rng: np.random.Generator) -> np.ndarray:
    """float64 (classes,): all on ``first``, or ``least`` to nine tenths of it and the rest on another."""
    target = np.zeros(len(CLASSES))
    share = rng.integers(least, 10) / 10 if rng.random() < mixtures else 1.0
    target[first] = share
    target[(first + rng.integers(1, len(CLASSES))) % len(CLASSES)] += 1.0 - share
    return target


def _line(
    split: Split, voice: str, person: np.ndarray, mixture: np.ndarray, telling: float, rng: np.random.Generator
) -> Line:
    own = rng.normal(size=len(SPREAD))
    word = rng.choice(len(CLASSES), p=mixture) if rng.random() < telling else len(CLASSES) - 1
    opening, topic, ending = (str(rng.choice(some)) for some in (OPENINGS, TOPICS, ENDINGS))
    # Who happens to speak faster and higher than the emotion asks for is heard as more active.
    felt = mixture @ MEANT + np.array((0.3 * own.mean(), 0.0, 0.0)) + 0.2 * rng.normal(size=3)
    low, high = np.log(NOISE)
    return Line(
        split=split,
        voice=voice,
        text=f"{opening} {rng.choice(LEXICON[word])} {topic} {ending}.",
        manner=Manner(*(mixture @ MANNERS + person + own * SPREAD)).within(),
        noise=float(np.exp(rng.uniform(low, high))),
        seed=int(rng.integers(2**31)),
        mixture=mixture,
        attributes=LOW + (HIGH - LOW) / (1.0 + np.exp(-felt)),
    )
