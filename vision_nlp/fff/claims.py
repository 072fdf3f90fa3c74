"""The claims of arXiv 2405.16836 (eFFF) and of 2308.14711 (FFF), as differences between paired runs.

Every accuracy is in points and, unless it says soft, under hard routing: the network that is served. Verdicts come from
``common.claims.harness``; nothing here decides one.
"""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import torch
from msgspec.structs import replace
from rich.console import Console

from common.claims.harness import ROUNDS, Claim, Condition, judge, run_paired, value
from common.claims.report import write
from common.errors import OperatorError
from contracts.claims import ClaimRow, ClaimsReport
from vision_nlp.fff.config import Model, Phases
from vision_nlp.fff.data import Splits
from vision_nlp.fff.study import draw, equal_mac_width, three_phases, train_dense, train_tree, two_phases
from vision_nlp.fff.system import SYSTEM

SHAPES = (
    Model(leaf_width=8, depth=1, master_width=8),
    Model(leaf_width=8, depth=4, master_width=8),
    Model(leaf_width=1, depth=5, master_width=8),
)
"""Shallow, deep (both the papers' own), and deep with the narrowest leaves, where the papers claim most."""
PLAIN, BALANCED, MASTER, TUNED = "FFF", "LB", "LB+master", "LB+master+hard tune"
EQUAL_MAC, EQUAL_WIDTH = "dense, equal inference MAC", "dense, equal training width"
POINTS = "points of test accuracy"
HARDENED = 0.10
"""Mean node entropy (nats) below which arXiv 2308.14711 calls a network hardened enough."""

test_hard, test_soft = value("test_hard", 100), value("test_soft", 100)
train_hard, train_soft = value("train_hard", 100), value("train_soft", 100)


def shape_claims(shape: str) -> Iterator[Claim]:
    """The claims about one tree shape; conditions are named ``<shape> <variant>``."""

    def name(variant: str) -> str:
        return f"{shape} {variant}"

    def accuracy(claim: str, paper: str, method: str, control: str, threshold: float = 0.0) -> Claim:
        pair = ((name(method), test_hard), (name(control), test_hard))
        return Claim(f"{shape}: {claim}", paper, POINTS, *pair, control, threshold)

    yield accuracy("load balancing raises accuracy", "2405.16836, up to +3.0", BALANCED, PLAIN)
    yield accuracy("a master leaf raises it further", "2405.16836, table of section 3.5", MASTER, BALANCED)
    yield Claim(
        claim=f"{shape}: load balancing brings more leaves into use",
        paper="2405.16836, ablation logs: 2-4 of 8 leaves without",
        unit="points of leaves used",
        method=(name(BALANCED), value("leaves_used", 100)),
        control=(name(PLAIN), value("leaves_used", 100)),
        control_name=PLAIN,
    )
    for how, figure in (("soft, as the released code measures it", train_soft), ("hard, as served", train_hard)):
        yield Claim(
            claim=f"{shape}: training accuracy ({how}) rises over FFF (hard)",
            paper="2405.16836, up to +16.3",
            unit="points of training accuracy",
            method=(name(MASTER), figure),
            control=(name(PLAIN), train_hard),
            control_name=PLAIN,
        )
    yield Claim(
        claim=f"{shape}: node entropy below {HARDENED} means hardening costs less than 1 point",
        paper="2308.14711, section on hardening",
        unit=POINTS,
        method=(name(PLAIN), test_hard),
        control=(name(PLAIN), test_soft),
        control_name="the same network, soft",
        threshold=-1.0,
        where=lambda values: values["node_entropy"] < HARDENED,
    )
    yield accuracy("hard fine-tuning at equal epochs raises accuracy", "ours, in no paper", TUNED, MASTER)
    yield Claim(
        claim=f"{shape}: hard fine-tuning at equal epochs closes more than half of the soft-hard gap",
        paper="ours, in no paper",
        unit=POINTS,
        method=(name(TUNED), test_hard),
        control=(name(MASTER), lambda values: (test_hard(values) + test_soft(values)) / 2),
        control_name="midway between hard and soft of the two-phase recipe",
    )
    yield accuracy("beats a dense network of equal inference cost", "the decisive control", TUNED, EQUAL_MAC)
    yield accuracy(
        "loses less than 1 point to a dense network of equal training width",
        "2308.14711, table 1",
        TUNED,
        EQUAL_WIDTH,
        -1.0,
    )


class Scale(NamedTuple):
    """How much is spent."""

    epochs: int
    seeds: int
    rows: int
    """Training rows at most."""


QUICK, FULL = Scale(epochs=60, seeds=5, rows=1_500), Scale(epochs=90, seeds=10, rows=4_000)
PUBLISHED = ("mnist", "fashion_mnist", "usps")


def claims(*, quick: bool, data: Path | None, seeds: int | None, out: Path | None, command: str) -> ClaimsReport:
    """Re-test on the bundled digits or, with ``data``, on parts of MNIST, FashionMNIST and USPS.

    Writes ``RESULTS.md`` and its figure into ``out`` when given. Raises OperatorError for fewer than two seeds, and
    when ``data`` lacks a set.
    """
    started = time.perf_counter()
    scale = QUICK if quick else FULL
    scale = scale._replace(seeds=scale.seeds if seeds is None else seeds)
    if scale.seeds < 2:
        raise OperatorError("one seed has no interval; give --seeds 2 or more")
    names = ("digits",) if data is None else PUBLISHED
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the networks are too small to share
    try:
        rows = tuple(row for name in names for row in measure(name, data, scale, SHAPES))
    finally:
        torch.set_num_threads(threads)
    report = ClaimsReport(
        system=SYSTEM.name,
        command=command,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        scale=described(scale),
        claims=judge([claim for shape in SHAPES for claim in shape_claims(label(shape))], rows),
        rows=rows,
        seconds=time.perf_counter() - started,
        rounds=ROUNDS,
    )
    if out is not None:
        write(report, out)
    return report


def measure(name: str, data: Path | None, scale: Scale, shapes: tuple[Model, ...]) -> tuple[ClaimRow, ...]:
    """Every arm of every shape under every seed, on one data set. Progress goes to standard error."""
    splits = {seed: draw(name, data, seed, scale.rows) for seed in range(scale.seeds)}
    conditions = {k: v for shape in shapes for k, v in arms(name, shape, splits, scale.epochs).items()}
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        return run_paired(conditions, splits, name, lambda done: console.print(done, highlight=False))
    with console.status(name) as status:
        return run_paired(conditions, splits, name, status.update)


def arms(name: str, shape: Model, splits: dict[int, Splits], epochs: int) -> dict[str, Condition]:
    """The conditions of one tree shape, all with the same number of epochs."""

    def tree(model: Model, schedule: Phases) -> Condition:
        return lambda seed: train_tree(name, model, schedule, splits[seed], seed)

    def dense(width: int) -> Condition:
        return lambda seed: train_dense(name, width, epochs, splits[seed], seed)

    alone = replace(shape, master_width=0)
    found = {
        PLAIN: tree(alone, two_phases(epochs, 0.0)),
        BALANCED: tree(alone, two_phases(epochs, 1.0)),
        MASTER: tree(shape, two_phases(epochs, 1.0)),
        TUNED: tree(shape, three_phases(epochs, 1.0)),
        EQUAL_MAC: dense(equal_mac_width(shape, next(iter(splits.values())))),
        EQUAL_WIDTH: dense(shape.leaf_width << shape.depth),
    }
    return {f"{label(shape)} {arm}": condition for arm, condition in found.items()}


def label(shape: Model) -> str:
    """As the papers write a shape: (leaf width, depth)."""
    return f"({shape.leaf_width},{shape.depth})"


def described(scale: Scale) -> str:
    return (
        f"Scale: {scale.seeds} seeds, {scale.epochs} epochs of AdamW 1e-3 in batches of 64 for every arm, at most "
        f"{scale.rows} training rows, selection on validation rows (the papers: 5 or 10 runs, 600 epochs, all rows, "
        "selection on the test set). (l,d) is leaf width and depth; the master leaf is 8 wide and counts in the cost."
    )
