"""The networks of a study: one data set, a scale, and every network trained once for each seed."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from typing import NamedTuple

from common.claims.harness import Claim, Condition
from common.data.images import Images
from common.training import seeding
from contracts.vision_nlp import acn_signature
from vision_nlp.acn.config import Mode, Model
from vision_nlp.acn.cut import choose_cut
from vision_nlp.acn.experiments.latency import Bench
from vision_nlp.acn.experiments.learning import Learnt, accuracy, last, learn, right
from vision_nlp.acn.experiments.pictures import draw
from vision_nlp.acn.model import build
from vision_nlp.acn.wiring import AutoCompressing
from vision_nlp.pictures import Rows, Splits, shape

TOLERANCE = 0.5
"""Points of validation accuracy that a cut may cost; the paper gives none."""
PATCHES = 4
"""Along each side of a picture: any data set has 16 tokens, and the class token."""


class Kind(NamedTuple):
    """How a network is wired."""

    mode: Mode
    tail_skip: bool
    """The layer of the paper's Mixer, whose tail is nonlinear in every mode, or a plain one."""


ACN, DIRECT, PLAIN = "ACN", "ACN, direct gradient only", "ACN, plain layer"
RESIDUAL, CLEAN, FFN, DENSE = "residual", "residual, clean pre-norm", "FFN", "DenseFormer"
KINDS = {
    ACN: Kind("acn", True),
    DIRECT: Kind("acn_dg", True),
    PLAIN: Kind("acn", False),
    RESIDUAL: Kind("residual", True),
    CLEAN: Kind("residual", False),
    FFN: Kind("ffn", True),
    DENSE: Kind("denseformer", True),
}


class Scale(NamedTuple):
    """How much is spent."""

    seeds: int
    layers: int
    """L"""
    shallow: int
    """Blocks of the small networks of continual learning."""
    width: int
    epochs: int
    rows: int
    """Training rows at most."""
    each: int
    """Pictures of a class where data are few."""
    task: int
    """Epochs of each task of continual learning."""
    tune: int
    """Epochs of fine-tuning, after transfer and while pruning."""
    draws: int = 3
    """Of each noise."""


class Trained(NamedTuple):
    model: AutoCompressing
    learnt: Learnt


class Experiment(NamedTuple):
    title: str
    conditions: Callable[["Lab"], Mapping[str, Condition]]
    claims: Callable[[], Iterator[Claim]]

    def named(self, condition: str) -> str:
        """Unique in a report, where experiments share the names of their networks."""
        return f"{self.title}: {condition}"

    def data(self, name: str) -> str:
        """What the report calls the rows of this experiment: each has a table of its own."""
        return f"{name}, {self.title}"


class Lab:
    """Trains on one data set and remembers, so that experiments share networks."""

    def __init__(self, images: Images, scale: Scale, change: Callable[[Splits], Splits] | None = None) -> None:
        """``change`` limits the rows that a seed draws."""
        self.images, self.scale = images, scale
        self.splits: Callable[[int], Splits] = cache(lambda seed: self._limit(draw(images, seed, scale.rows)))
        self._limit: Callable[[Splits], Splits] = change or (lambda splits: splits)
        self.cut: Callable[[str, int], int] = cache(self._cut)
        self._trained = cache(self._train)

    @cached_property
    def bench(self) -> Bench:
        signature = acn_signature(math.prod(shape(self.images.known)), self.classes(0))
        return Bench(lambda kind, depth: self.fresh(kind, 0, depth), signature, (RESIDUAL, self.scale.layers))

    def limited(self, change: Callable[[Splits], Splits], longer: int = 1) -> "Lab":
        """The same draws and networks on fewer rows or classes, in ``longer`` times as many epochs."""
        return Lab(self.images, self.scale._replace(epochs=longer * self.scale.epochs), change)

    def classes(self, seed: int) -> int:
        return int(self.splits(seed).train.y.max()) + 1

    def model(self, kind: str, layers: int) -> Model:
        mode, tail_skip = KINDS[kind]
        width = self.scale.width
        return Model(
            backbone="mixer",
            mode=mode,
            layers=layers,
            width=width,
            patch=self.images.known.size // PATCHES,
            token_width=width // 2,
            channel_width=4 * width,
            tail_skip=tail_skip,
        )

    def fresh(self, kind: str, seed: int, layers: int | None = None) -> AutoCompressing:
        """A network with the initial weights of ``seed``: equal in all kinds of one layer."""
        seeding.seed_all(seed)
        return build(self.model(kind, layers or self.scale.layers), shape(self.images.known), self.classes(seed))

    def trained(self, kind: str, seed: int, layers: int | None = None) -> Trained:
        """Plainly trained; with ``layers``, from scratch at that depth: the decisive control."""
        return self._trained(kind, seed, layers or self.scale.layers)

    def _train(self, kind: str, seed: int, layers: int) -> Trained:
        model, splits = self.fresh(kind, seed, layers), self.splits(seed)

        def ask() -> float:
            return accuracy(model, splits.validation)

        return Trained(model, learn(model, last(model), splits.train, self.scale.epochs, seed, ask=ask))

    def _cut(self, kind: str, seed: int) -> int:
        """k, chosen on validation rows."""
        return cut_of(self.trained(kind, seed).model, self.splits(seed).validation)


def cut_of(model: AutoCompressing, validation: Rows) -> int:
    """The smallest sub-network about as accurate as the whole."""
    return choose_cut(right(model, validation), TOLERANCE).depth
