"""The claims of arXiv 2405.16836 (eFFF) and of 2308.14711 (FFF), as differences between paired runs.

Every accuracy is in points and, unless it says soft, under hard routing: the network that is served. Verdicts come from
``common.claims.harness``; nothing here decides one.
"""

import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from common.claims.harness import judge, run_paired
from common.claims.report import report
from common.errors import OperatorError
from common.export.latency import microseconds
from common.training.threads import one_thread
from contracts.claims import ClaimRow, ClaimsReport
from vision_nlp.fff.arms import FIRST, Arms
from vision_nlp.fff.config import Model
from vision_nlp.fff.figures import drawings
from vision_nlp.fff.pareto import front_claims, placed
from vision_nlp.fff.statements import label, shape_claims
from vision_nlp.fff.study import Scale, draw
from vision_nlp.fff.system import SYSTEM

SHAPES = (
    Model(leaf_width=8, depth=1, master_width=8),
    Model(leaf_width=8, depth=4, master_width=8),
    Model(leaf_width=1, depth=5, master_width=8),
)
"""Shallow, deep (both the papers' own), and deep with the narrowest leaves, where the papers claim most."""
WIDE = (
    Model(leaf_width=4, depth=5, master_width=8),
    Model(leaf_width=2, depth=6, master_width=8),
    Model(leaf_width=1, depth=7, master_width=8),
)
"""Further shapes of the papers, all 128 units wide in training."""
QUICK = Scale(epochs=36, seeds=4, rows=1_500, batch=64, shapes=SHAPES)
FULL = Scale(epochs=90, seeds=10, rows=4_000, batch=64, shapes=SHAPES)
QUICK_PUBLISHED = Scale(epochs=36, seeds=3, rows=1_000, batch=64, shapes=SHAPES)
FULL_PUBLISHED = Scale(epochs=36, seeds=5, rows=2_000, batch=64, shapes=SHAPES + WIDE)
PUBLISHED = ("mnist", "fashion_mnist", "usps")
TIMED = 0.3
"""Seconds for each graph and batch size."""


def claims(*, quick: bool, data: Path | None, seeds: int | None, out: Path | None, command: str) -> ClaimsReport:
    """Re-test on the bundled digits or, with ``data``, on parts of MNIST, FashionMNIST and USPS.

    Writes ``RESULTS.md`` and its figures into ``out`` when given. Raises OperatorError for fewer than two seeds, and
    when ``data`` lacks a set.
    """
    started = time.perf_counter()
    scale = (QUICK if quick else FULL) if data is None else (QUICK_PUBLISHED if quick else FULL_PUBLISHED)
    scale = scale._replace(seeds=scale.seeds if seeds is None else seeds)
    if scale.seeds < 2:
        raise OperatorError("one seed has no interval; give --seeds 2 or more")
    names = ("digits",) if data is None else PUBLISHED
    with one_thread():
        rows = tuple(row for name in names for row in measure(name, data, scale))
    statements = [claim for shape in scale.shapes for claim in shape_claims(shape)]
    return report(
        system=SYSTEM.name,
        command=command,
        scale=described(scale),
        claims=judge([*front_claims(scale.shapes), *statements], rows),
        rows=rows,
        seconds=time.perf_counter() - started,
        out=out,
        drawings=drawings,
    )


def measure(name: str, data: Path | None, scale: Scale) -> tuple[ClaimRow, ...]:
    """Every arm of every shape under every seed on one data set, then all graphs' latencies, side by side.

    Progress goes to standard error.
    """
    splits = {seed: draw(name, data, seed, scale.rows) for seed in range(scale.seeds)}
    console = Console(file=sys.stderr)
    with TemporaryDirectory(prefix="kithara-claims-") as folder:
        arms = Arms(scale, splits, Path(folder))
        if console.is_terminal:
            with console.status(name) as status:
                rows = run_paired(arms.conditions(), splits, name, status.update)
        else:
            rows = run_paired(arms.conditions(), splits, name, partial(console.print, highlight=False))
        return placed(rows, microseconds(arms.graphs, splits[FIRST].test.x.numpy(), TIMED))


def described(scale: Scale) -> str:
    return (
        f"Scale: {scale.seeds} seeds, {scale.epochs} epochs of AdamW 1e-3 in batches of {scale.batch} for every arm, "
        f"at most {scale.rows} training rows, selection on validation rows (the papers: 5 or 10 runs, 600 epochs, all "
        f"rows, selection on the test set). (l,d) is leaf width and depth: {', '.join(map(label, scale.shapes))}; the "
        "master leaf is 8 wide and counts in the cost. Latencies: median microseconds of one call with 1 or 32 test "
        "pictures, ONNX Runtime, one thread, the graph that is served, all graphs of a data set in turns; measured on "
        "the networks of the first seed. `front_1` and `front_32`: test accuracy of the dense network that a tree must "
        "beat there, chosen on validation rows among those no slower. int8: ONNX Runtime's dynamic quantisation, "
        "weights int8 ahead of time, activations at run time."
    )
