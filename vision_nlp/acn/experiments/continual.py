"""Five tasks of two classes, one after the other, the task being known when asked (table 3)."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from common.claims.harness import Claim, Condition, value
from vision_nlp.acn.experiments.lab import ACN, CLEAN, RESIDUAL, Experiment, Lab
from vision_nlp.acn.experiments.learning import CHUNK, TUNE_RATE, Hooks, learn, smoothed
from vision_nlp.acn.experiments.pictures import of_classes
from vision_nlp.acn.experiments.synaptic import SynapticIntelligence
from vision_nlp.acn.wiring import AutoCompressing
from vision_nlp.pictures import Rows, Splits

NAIVE, INTELLIGENCE = "naive", "SI"
STRENGTH = 1.0
SHALLOW, DEEP = "shallow", "deep"
NETWORKS = (ACN, RESIDUAL, CLEAN)
Task = tuple[int, ...]
"""Classes, which are also the logits that the task may answer with."""


def name(kind: str, depth: str, method: str) -> str:
    return f"{kind}, {depth}, {method}"


def conditions(lab: Lab) -> Mapping[str, Condition]:
    depths = {SHALLOW: lab.scale.shallow, DEEP: lab.scale.layers}
    return {
        name(kind, depth, method): partial(_measure, lab, kind, layers, method)
        for method in (NAIVE, INTELLIGENCE)
        for depth, layers in depths.items()
        for kind in NETWORKS
    }


def _measure(lab: Lab, kind: str, layers: int, method: str, seed: int) -> dict[str, float]:
    classes = len(lab.images.known.labels)
    tasks = [(c, c + 1) for c in range(0, classes - 1, 2)]
    strength = STRENGTH if method == INTELLIGENCE else None
    model = lab.fresh(kind, seed, layers)
    reached = sequence(model, lab.splits(seed), tasks, lab.scale.task, seed, strength)
    return {
        "blocks": float(layers),
        "average accuracy": average_accuracy(reached),
        "forgetting": forgetting(reached),
        "when learnt": float(np.diag(reached).mean()),
    }


def sequence(
    model: AutoCompressing, splits: Splits, tasks: Sequence[Task], epochs: int, seed: int, strength: float | None
) -> np.ndarray:
    """Learn the tasks in turn; float64 (tasks, tasks): test accuracy on task j after task i was learnt.

    ``strength`` is that of Synaptic Intelligence; without one, nothing keeps the network from forgetting.
    """
    held = None if strength is None else SynapticIntelligence(model.parameters(), strength)
    tests = [of_classes(splits.test, task) for task in tasks]
    reached = np.zeros((len(tasks), len(tasks)))
    for i, task in enumerate(tasks):

        def loss(x: Tensor, y: Tensor, task: Task = task) -> Tensor:
            return smoothed(model(x)[:, list(task)], y)

        rows = of_classes(splits.train, task)
        learn(model, loss, rows, epochs, seed, rate=TUNE_RATE, hooks=held.hooks if held else Hooks())
        if held:
            held.consolidate()
        reached[i] = [masked_accuracy(model, rows, task) for rows, task in zip(tests, tasks, strict=True)]
    return reached


@torch.no_grad()
def masked_accuracy(model: AutoCompressing, rows: Rows, task: Task) -> float:
    """Among the logits of the task; labels count within it."""
    told = torch.cat([model(x)[:, list(task)] for x in rows.x.split(CHUNK)]).argmax(1)
    return float((told == rows.y).double().mean())


def average_accuracy(reached: np.ndarray) -> float:
    """Over all tasks, after the last one: mean_j A[T, j]."""
    return float(reached[-1].mean())


def forgetting(reached: np.ndarray) -> float:
    """mean_j (A[j, j] - A[T, j]) over all tasks; the last one, just learnt, counts with its 0."""
    return float((np.diag(reached) - reached[-1]).mean())


def claims() -> Iterator[Claim]:
    paper = {NAIVE: "54.5 against 46.9 at 15 layers", INTELLIGENCE: "50 against 32 at 15 layers"}
    higher = {NAIVE: "31.6 against 26.1", INTELLIGENCE: "46.2 against 32.1"}
    for method in (NAIVE, INTELLIGENCE):
        own = name(ACN, DEEP, method)
        for kind in (RESIDUAL, CLEAN):
            told = kind == RESIDUAL
            yield _less(f"{method}: deep ACN forgets less than {kind}",
                        f"table 3: {paper[method]}" if told else "not in the paper",
                        own, name(kind, DEEP, method))  # fmt: skip
            yield _more(f"{method}: deep ACN keeps more accuracy than {kind}",
                        f"table 3: {higher[method]}" if told else "not in the paper",
                        own, name(kind, DEEP, method))  # fmt: skip
        yield _more(f"{method}: deep ACN keeps more accuracy than a shallow clean residual", "the decisive control",
                    own, name(CLEAN, SHALLOW, method))  # fmt: skip
        yield _less(f"{method}: deep ACN forgets less than shallow ACN", "table 3: 35.7 to 32 with SI, from 5 to 15",
                    own, name(ACN, SHALLOW, method))  # fmt: skip
        yield _less(f"{method}: shallow residual forgets less than deep residual", "table 3: 42.4 to 50 with SI",
                    name(RESIDUAL, SHALLOW, method), name(RESIDUAL, DEEP, method))  # fmt: skip


def _less(claim: str, paper: str, method: str, control: str) -> Claim:
    """Effect: what the control forgets beyond the method."""
    figure = value("forgetting", -100)
    return Claim(claim, paper, "points of forgetting", (method, figure), (control, figure), control)


def _more(claim: str, paper: str, method: str, control: str) -> Claim:
    figure = value("average accuracy", 100)
    return Claim(claim, paper, "points of average accuracy", (method, figure), (control, figure), control)


EXPERIMENT = Experiment("continual", conditions, claims)
