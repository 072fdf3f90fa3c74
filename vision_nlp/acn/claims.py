"""The claims of arXiv 2506.09714, as differences between paired runs, and the controls that decide what they mean.

Each experiment is a file of ``experiments``. Verdicts come from ``common.claims.harness``; nothing here decides one.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from common.claims.harness import Claim, judge, run_paired
from common.claims.report import report
from common.data.images import load_images
from common.errors import OperatorError
from common.training.threads import one_thread
from contracts.claims import ClaimRow, ClaimsReport
from vision_nlp.acn.experiments import (
    continual,
    difficulty,
    early_exit,
    gradients,
    layers,
    low_data,
    noise,
    pruning,
    side_by_side,
    transfer,
)
from vision_nlp.acn.experiments.figures import drawings
from vision_nlp.acn.experiments.lab import Experiment, Lab, Scale
from vision_nlp.acn.system import SYSTEM

EXPERIMENTS = tuple(
    module.EXPERIMENT
    for module in (
        side_by_side,
        layers,
        gradients,
        noise,
        difficulty,
        low_data,
        transfer,
        continual,
        pruning,
        early_exit,
    )
)
CENTRAL = EXPERIMENTS[:4]
"""Of every data set; the others are run on the first one alone."""
BUNDLED, PUBLISHED = ("digits",), ("fashion_mnist", "cifar10", "mnist")
QUICK_SETS = PUBLISHED[:2]
QUICK = Scale(seeds=3, layers=6, shallow=2, width=24, epochs=10, rows=800, each=10, task=5, tune=3)
FULL = Scale(seeds=5, layers=8, shallow=3, width=24, epochs=20, rows=4_000, each=10, task=10, tune=5)


def claims(*, quick: bool, data: Path | None, seeds: int | None, out: Path | None, command: str) -> ClaimsReport:
    """Re-test on the bundled digits or, with ``data``, on parts of FashionMNIST, and centrally of CIFAR-10 and
    (unless ``quick``) MNIST.

    Writes ``RESULTS.md`` and its figures into ``out`` when given. Raises OperatorError for fewer than two seeds, and
    when ``data`` lacks a set.
    """
    started = time.perf_counter()
    scale = QUICK if quick else FULL
    scale = scale._replace(seeds=scale.seeds if seeds is None else seeds)
    if scale.seeds < 2:
        raise OperatorError("one seed has no interval; give --seeds 2 or more")
    names = BUNDLED if data is None else QUICK_SETS if quick else PUBLISHED
    with one_thread():
        images = {name: load_images(name, data) for name in names}
        rows = tuple(
            row
            for number, (name, loaded) in enumerate(images.items())
            for row in measure(name, Lab(loaded, scale), CENTRAL if number else EXPERIMENTS)
        )
    return report(
        system=SYSTEM.name,
        command=command,
        scale=described(scale),
        claims=judge(tuple(all_claims()), rows),
        rows=rows,
        seconds=time.perf_counter() - started,
        out=out,
        drawings=drawings,
    )


def measure(name: str, lab: Lab, experiments: tuple[Experiment, ...]) -> tuple[ClaimRow, ...]:
    """Every condition of every experiment under every seed, on one data set. Progress goes to standard error."""
    console = Console(file=sys.stderr)
    return tuple(
        row
        for experiment in experiments
        for row in run_paired(
            {experiment.named(condition): ask for condition, ask in experiment.conditions(lab).items()},
            range(lab.scale.seeds),
            experiment.data(name),
            lambda done: console.print(done, highlight=False, soft_wrap=True),
        )
    )


def all_claims() -> Iterator[Claim]:
    """Every claim about one data set, its conditions named as in the report."""
    for experiment in EXPERIMENTS:
        for claim in experiment.claims():
            (method, figure), (control, other) = claim.method, claim.control
            yield claim._replace(method=(experiment.named(method), figure), control=(experiment.named(control), other))


def described(scale: Scale) -> str:
    """How this differs from the paper."""
    return (
        f"MLP-Mixer of {scale.layers} blocks, width {scale.width}, 16 patches, {scale.epochs} epochs of AdamW "
        f"(peak 3e-3, warm-up and cosine, label smoothing 0.1, clip 1) in batches of 64 for every network of a seed, "
        f"at most {scale.rows} training rows, no augmentation, no selection of epochs (paper: 16 blocks, width 128, "
        "CIFAR-10, 420 to 700 epochs, augmentation; ViT-B on ImageNet; BERT): what learns slowly may not "
        "be at its best yet. A cut is the smallest sub-network within "
        "half a point of the whole on validation rows; the paper gives no tolerance. The decisive control of every "
        "experiment is a network of the cut's depth, trained from scratch on the same rows in the same order for as "
        "many epochs. 'residual' has the layer of the released code, which ends with LN(ReLU(Linear + x)) in all "
        "modes; 'clean pre-norm' is the usual residual network without it."
    )
