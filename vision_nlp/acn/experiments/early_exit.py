"""A picture leaves where the softmax is certain (appendix H, table 7): speed-up in operations at equal accuracy."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from common.claims.harness import Claim, Condition, value
from vision_nlp.acn.early import choose_exit, entropies, leave, try_exits
from vision_nlp.acn.experiments.branches import Branched
from vision_nlp.acn.experiments.lab import ACN, CLEAN, RESIDUAL, TOLERANCE, Experiment, Lab
from vision_nlp.acn.experiments.learning import accuracy, all_layers, answers, learn
from vision_nlp.acn.wiring import AutoCompressing
from vision_nlp.pictures import Rows

PAPERS_ENTROPY = 0.7
"""tau, nats."""
SHARED, BRANCHES, CUT = "shared head", "branches", "cut"
PAPER = {(ACN, SHARED): "3.3", (RESIDUAL, SHARED): "2.4", (ACN, BRANCHES): "2.6", (RESIDUAL, BRANCHES): "2.2"}
"""Speed-ups of table 7."""
NETWORKS = {SHARED: (ACN, RESIDUAL, CLEAN), BRANCHES: (ACN, RESIDUAL)}
POINTS, DOUBLINGS = "points of test accuracy", "doublings of speed, in operations"
RIGHT = value("accuracy", 100)
WHOLE = f"{RESIDUAL}, whole"


def name(kind: str, how: str) -> str:
    return f"{kind}, {how}"


STATIC = f"{CLEAN}, from scratch at the mean depth of {name(ACN, SHARED)}"


class Told(NamedTuple):
    """What a network with exits says of the rows of one split."""

    exits: tuple[int, ...]
    logits: np.ndarray
    """float32 (exits, n, classes)"""
    labels: np.ndarray


class Exits:
    """The networks with exits of one lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.trained = cache(self._trained)
        self.price = cache(
            lambda kind: price(lab.fresh(kind, 0), lab.splits(0).test.x[:1], lab.scale.width * lab.classes(0))
        )

    def measure(self, kind: str, how: str, seed: int) -> dict[str, float]:
        splits, ask = self.lab.splits(seed), self.trained(kind, how, seed)
        told = ask(splits.validation)
        # As accurate, on validation rows, as the whole plain residual network, which table 7 gives a speed-up of 1, or
        # else as itself without exits.
        own = float((told.logits[-1].argmax(1) == told.labels).mean())
        full = min(own, accuracy(self.lab.trained(RESIDUAL, seed).model, splits.validation))
        chosen = choose_exit(try_exits(told.logits, told.labels, range(len(told.exits))), full, TOLERANCE).entropy
        asked = ask(splits.test)
        reached, depth, speed = self.leaving(kind, asked, chosen)
        papers, _, papers_speed = self.leaving(kind, asked, PAPERS_ENTROPY)
        return {
            "accuracy": reached,
            "speed-up": speed,
            "mean depth": depth,
            "entropy": chosen,
            f"accuracy at {PAPERS_ENTROPY}": papers,
            f"speed-up at {PAPERS_ENTROPY}": papers_speed,
        }

    def fixed(self, kind: str, depth: int, model: AutoCompressing, seed: int) -> dict[str, float]:
        """Every picture leaves at one depth."""
        return {
            "accuracy": accuracy(model, self.lab.splits(seed).test),
            "speed-up": self._speed(kind, depth, 1.0),
            "mean depth": float(depth),
        }

    def leaving(self, kind: str, told: Told, entropy: float) -> tuple[float, float, float]:
        """Accuracy, mean depth, speed-up when rows leave below ``entropy``."""
        at = leave(entropies(told.logits), entropy)
        right = told.logits.argmax(2)[at, np.arange(len(at))] == told.labels
        depth = float(np.asarray(told.exits)[at].mean())
        return float(right.mean()), depth, self._speed(kind, depth, float(at.mean()) + 1)

    def _price(self, kind: str) -> "Price":
        head = self.lab.scale.width * self.lab.classes(0)
        return price(self.lab.fresh(kind, 0), self.lab.splits(0).test.x[:1], head)

    def _trained(self, kind: str, how: str, seed: int) -> Callable[[Rows], Told]:
        model, rows = self.lab.fresh(kind, seed), self.lab.splits(seed).train
        epochs = self.lab.scale.epochs
        if how == SHARED:
            learn(model, all_layers(model), rows, epochs, seed)
            return lambda rows: Told(tuple(range(1, model.depth + 1)), answers(model, rows)[1:], rows.y.numpy())
        branched = Branched(model, self.lab.scale.width, self.lab.classes(seed))
        learn(branched, branched.loss, rows, epochs, seed)
        return lambda rows: Told(branched.exits, branched.answers(rows), rows.y.numpy())

    def _speed(self, kind: str, depth: float, heads: float) -> float:
        """Operations of the whole plain residual network over those of ``depth`` blocks and so many heads."""
        return self.price(RESIDUAL).of(self.lab.scale.layers, 1) / self.price(kind).of(depth, heads)


class Price(NamedTuple):
    """Floating-point operations for a picture."""

    embedding: float
    block: float
    head: float

    def of(self, depth: float, heads: float) -> float:
        return self.embedding + depth * self.block + heads * self.head


@torch.no_grad()
def price(model: AutoCompressing, x: Tensor, head: int) -> Price:
    """Counted on one picture ``x`` (1, pixels); ``head`` is the number of weights of the head."""

    def count(upto: int) -> float:
        with FlopCounterMode(display=False) as counter:
            model(x, upto=upto)
        return float(counter.get_total_flops())

    return Price(count(0) - 2.0 * head, (count(model.depth) - count(0)) / model.depth, 2.0 * head)


def conditions(lab: Lab) -> Mapping[str, Condition]:
    exits = Exits(lab)

    def cut(seed: int) -> dict[str, float]:
        depth = lab.cut(ACN, seed)
        return exits.fixed(ACN, depth, lab.trained(ACN, seed).model.truncate(depth), seed)

    def static(seed: int) -> dict[str, float]:
        depth = math.ceil(exits.measure(ACN, SHARED, seed)["mean depth"])
        return exits.fixed(CLEAN, depth, lab.trained(CLEAN, seed, depth).model, seed)

    def whole(seed: int) -> dict[str, float]:
        return exits.fixed(RESIDUAL, lab.scale.layers, lab.trained(RESIDUAL, seed).model, seed)

    found = {name(kind, how): partial(exits.measure, kind, how) for how, kinds in NETWORKS.items() for kind in kinds}
    return {**found, WHOLE: whole, name(ACN, CUT): cut, STATIC: static}


def claims() -> Iterator[Claim]:
    for how in (SHARED, BRANCHES):
        own = name(ACN, how)
        for rival in NETWORKS[how][1:]:
            paper = f"table 7: {PAPER[ACN, how]} against {PAPER[RESIDUAL, how]}" if rival == RESIDUAL else "not in it"
            yield _faster(f"with {how}, early exit speeds ACN up more than {rival}", paper, own, name(rival, how))
        yield Claim(f"with {how}, ACN's exits cost less than half a point against whole residual", "table 7: none",
                    POINTS, (own, RIGHT), (WHOLE, RIGHT), WHOLE, -TOLERANCE)  # fmt: skip
    yield _faster("a shared head speeds ACN up more than branches", "table 7: 3.3 against 2.6",
                  name(ACN, SHARED), name(ACN, BRANCHES))  # fmt: skip
    yield _faster("exits speed ACN up more than its cut", "table 7: 3.3 against 1.5", name(ACN, SHARED), name(ACN, CUT))
    yield Claim("ACN's cut alone saves a quarter of the operations", "table 7: 1.5 times", DOUBLINGS,
                (name(ACN, CUT), _log2), (name(ACN, CUT), lambda _: 0.0), "none", math.log2(4 / 3))  # fmt: skip
    yield Claim("ACN with exits beats a network of their mean depth from scratch", "the decisive control",
                POINTS, (name(ACN, SHARED), RIGHT), (STATIC, RIGHT), STATIC)  # fmt: skip


def _faster(claim: str, paper: str, method: str, control: str) -> Claim:
    return Claim(claim, paper, DOUBLINGS, (method, _log2), (control, _log2), control)


def _log2(values: Mapping[str, float]) -> float:
    return math.log2(values["speed-up"])


EXPERIMENT = Experiment("early exit", conditions, claims)
