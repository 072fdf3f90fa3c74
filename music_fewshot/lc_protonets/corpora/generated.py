"""A small set made on the spot: one second of a chord, whose every tag is a property of its waveform.

A clip always has one timbre and one register; the other tags come or not, each for itself. So labels co-occur, none
follows from another, and each can be heard. For tests and quick runs; it says nothing about music.
"""

from typing import NamedTuple

import numpy as np

from music_fewshot.lc_protonets.corpora.clips import SAMPLE_RATE
from music_fewshot.lc_protonets.corpora.corpus import Corpus, Source, Split, arrange, truth_table

SAMPLES = SAMPLE_RATE
"""Of a clip: one second."""
SIZES = {"train": 240, "dev": 60, "test": 150}
PARTIALS = 12
TIMBRES = {
    "pure": np.array([1.0] + [0.0] * (PARTIALS - 1)),
    "bright": np.full(PARTIALS, 0.6),
    "reed": 1 / np.arange(1, PARTIALS + 1),
    "hollow": np.where(np.arange(PARTIALS) % 2 == 0, 1 / np.arange(1, PARTIALS + 1), 0.0),
}
"""Amplitudes of the partials."""
REGISTERS = {"low": 110.0, "middle": 330.0, "high": 990.0}
"""Hz, raised by up to half an octave."""
OPTIONS = {
    "pulsed": 0.45, "drum": 0.4, "fifth": 0.35, "vibrato": 0.3, "hiss": 0.25, "fading": 0.2, "clicks": 0.2,
    "sweep": 0.15, "glide": 0.15,
}  # fmt: skip
"""How likely each of the other tags is."""
TAGS = tuple(sorted((*TIMBRES, *REGISTERS, *OPTIONS)))


class Recipe(NamedTuple):
    timbre: str
    register: str
    options: frozenset[str]

    @property
    def tags(self) -> tuple[str, ...]:
        return (self.timbre, self.register, *sorted(self.options))


def generated(seed: int = 0) -> Corpus:
    """450 clips at 16 kHz with 16 tags, 10 of them base; the same for a seed."""
    rng = np.random.default_rng(seed)
    splits: dict[str, Split] = {}
    for name, n in SIZES.items():
        recipes = [draw(rng) for _ in range(n)]
        truth = truth_table((recipe.tags for recipe in recipes), TAGS)
        clips = np.stack([play(recipe, rng) for recipe in recipes])
        splits[name] = Split(tuple(f"{name}-{i}" for i in range(n)), truth, clips)
    digests = tuple(f"generated-{seed}-{name}" for name in splits)
    return arrange(Source("generated", "CC0 1.0", "open", "waveform", TAGS, SAMPLE_RATE, digests, splits))


def draw(rng: np.random.Generator) -> Recipe:
    """What a clip is made of."""
    timbre, register = (str(rng.choice(list(names))) for names in (TIMBRES, REGISTERS))
    return Recipe(timbre, register, frozenset(name for name, share in OPTIONS.items() if rng.random() < share))


def play(recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """int16 (SAMPLES,): the tone with what the recipe adds, over faint noise, at half of full scale."""
    t = np.arange(SAMPLES) / SAMPLE_RATE
    on = recipe.options.__contains__
    f0 = REGISTERS[recipe.register] * 2 ** rng.uniform(0, 0.5)
    pitch = f0 * (1 + 0.04 * on("vibrato") * np.sin(2 * np.pi * 6 * t)) * 2 ** (on("glide") * (t - 0.5))
    sound = tone(pitch, TIMBRES[recipe.timbre])
    if on("fifth"):
        sound += tone(1.5 * pitch, TIMBRES[recipe.timbre])
    if on("pulsed"):
        sound *= np.sin(2 * np.pi * 5 * t) > 0
    if on("fading"):
        sound *= np.exp(-4 * t)
    noise = rng.standard_normal(SAMPLES)
    hiss = np.diff(noise, prepend=0.0)  # a slope towards high frequencies
    sound += 0.005 * noise + 0.15 * on("hiss") * hiss + 0.5 * on("clicks") * hiss * (t * 8 % 1 < 0.08)
    if on("drum"):
        beat = t * 3 % 1 / 3
        sound += 2.0 * np.exp(-25 * beat) * np.sin(2 * np.pi * 60 * beat)
    if on("sweep"):
        sound += 0.5 * np.sin(2 * np.pi * (500 * t + 2_500 * t * t))
    return np.rint(sound / np.abs(sound).max() * 16_384 * rng.uniform(0.5, 1.0)).astype(np.int16)


def tone(pitch: np.ndarray, partials: np.ndarray) -> np.ndarray:
    """A harmonic sound with that pitch (Hz, one a sample); partials above half the sample rate are silent. RMS 1."""
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    sound = np.zeros(len(pitch))
    for i, amplitude in enumerate(partials, 1):
        if amplitude:
            sound += amplitude * np.sin(i * phase) * (i * pitch < SAMPLE_RATE / 2)
    return sound / np.sqrt(np.mean(sound**2))
