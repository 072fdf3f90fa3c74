"""``kithara bench acn``: is a cut network as fast as its depth says, and what does early exit save on real pictures?

Everything is measured side by side in one run, on one thread, as CPU time; only ratios are judged.
"""

import os
import platform
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import msgspec
import onnxruntime
import torch

from common.data.images import SETS, load_images
from common.errors import OperatorError, Unknown
from common.registry.store import Repository
from common.toml import read_file
from common.training.threads import one_thread
from contracts._base import Record
from contracts.models import ModelCard
from vision_nlp.acn.bench_depths import DepthRow, measure_depths
from vision_nlp.acn.bench_exits import EXITS, WHOLE, ExitRow, Pictures, measure_exits, threshold
from vision_nlp.acn.config import Config
from vision_nlp.features import normalise
from vision_nlp.pictures import shape

BATCHES = (1, 32)
LINEAR, SPEEDUP, POINTS = 0.10, 1.3, 0.5
"""The bounds: deviation from the time that the depth says; least speed-up by early exit; most points it may lose."""
SERVED = ("acn-fashion-mnist", "acn-digits")
"""Models whose early exit is measured, the first one that is there with its test pictures."""
QUICK_ROWS = 512
STARTER = Path(__file__).parent / "configs" / "starter.toml"


class Target(Record, frozen=True, kw_only=True):
    """A bound that was promised."""

    what: str
    bound: float
    measured: float
    met: bool


class AcnBench(Record, frozen=True, kw_only=True):
    """The tables, and whether they keep the promises."""

    machine: str
    network: str
    depths: tuple[DepthRow, ...]
    pictures: str
    """Which model on which pictures; or why early exit could not be measured."""
    exits: tuple[ExitRow, ...]
    targets: tuple[Target, ...]

    def table(self) -> str:
        """The tables as plain text."""
        lines = [
            f"CPU time, one thread, {self.machine}",
            "",
            f"time by depth: {self.network}",
            f"{'batch':>5} {'blocks':>7} {'MB':>7} {'us':>9} {'of whole':>9} {'expected':>9} {'off':>7}",
            *(
                f"{r.batch:>5} {r.depth:>7} {r.megabytes:>7.2f} {r.us:>9.1f} {r.ratio:>9.3f} {r.expected:>9.3f} "
                f"{r.deviation:>+7.1%}"
                for r in self.depths
            ),
            "",
            f"early exit: {self.pictures}",
        ]
        if self.exits:
            head = ("way", 7), ("at once", 8), ("engine", 12), ("us/picture", 11), ("speed-up", 9)
            lines.append(" ".join(f"{name:>{width}}" for name, width in (*head, ("accuracy", 9), ("blocks", 7))))
        lines += [
            f"{r.how:>7} {r.together:>8} {r.engine:>12} {r.us:>11.1f} {f'{r.speedup:.2f}x':>9} {r.accuracy:>9.4f} "
            f"{r.mean_depth:>7.2f}"
            for r in self.exits
        ]
        met = (f"{'met' if t.met else 'MISSED'}: {t.what}: {t.measured:.4g}, bound {t.bound:g}" for t in self.targets)
        return "\n".join([*lines, "", *met])


def bench(*, quick: bool) -> AcnBench:
    """Measure the published network. Quick: the depths of its exits, fewer repetitions, the first 512 test
    pictures.

    Where none is published, the times by depth are of one of the starter configuration's shape.
    """
    root = Path(os.environ.get("KITHARA_MODELS") or str(files("deploy") / "models"))
    cards = [card for name in SERVED if (card := _card(root, name))]
    config = msgspec.convert(cards[0].lineage.config, Config) if cards else read_file(STARTER, Config, "starter")
    with one_thread():
        image, every = shape(SETS[config.data.name]), range(1, config.model.layers + 1)
        depths = measure_depths(config.model, image, config.leaves if quick else every, BATCHES, 0.3 if quick else 1.0)
    pictures, exits = _early(root, cards, QUICK_ROWS if quick else None)
    return AcnBench(
        machine=f"{platform.machine()}, {os.cpu_count()} cores, onnxruntime {onnxruntime.__version__}, "
        f"torch {torch.__version__}",
        network=f"{config.model.backbone} of {config.model.layers} blocks, width {config.model.width}, "
        f"on {config.data.name}",
        depths=tuple(depths),
        pictures=pictures,
        exits=tuple(exits),
        targets=tuple(targets(depths, exits)),
    )


def _early(root: Path, cards: Sequence[ModelCard], most: int | None) -> tuple[str, list[ExitRow]]:
    """The first model with its test pictures; else why there is none."""
    why = f"not measured, no {' or '.join(SERVED)} in {root}; kithara export acn publishes one"
    data = Path(os.environ["KITHARA_DATA"]) if os.environ.get("KITHARA_DATA") else None
    for card in cards:
        name = msgspec.convert(card.lineage.config, Config).data.name
        assert card.image is not None, "a whole network takes pictures"
        try:
            test = load_images(name, data).test
        except OperatorError as error:
            why = f"not measured, {error}"
            continue
        pictures = Pictures(normalise(test.images[:most], card.image), test.labels[:most])
        said = f"{card.name}@{card.version} on {len(pictures.y)} test pictures of {name}, entropy {threshold(card):g}"
        return said, measure_exits(root, card, pictures)
    return why, []


def _card(root: Path, name: str) -> ModelCard | None:
    repository = Repository(root)
    try:
        return repository.load(*repository.resolve(name)).card
    except Unknown:
        return None


def targets(depths: Sequence[DepthRow], exits: Sequence[ExitRow]) -> Iterator[Target]:
    """Of both tables; without pictures, of the first alone."""
    for batch in sorted({row.batch for row in depths}):
        worst = max(abs(row.deviation) for row in depths if row.batch == batch)
        what = f"largest deviation from the time that the depth says, batch {batch}"
        yield Target(what=what, bound=LINEAR, measured=worst, met=worst <= LINEAR)
    whole = {(row.how, row.together): row for row in exits if row.engine == WHOLE}
    for row in exits:
        if row.engine == EXITS:
            what = f"speed-up by early exit, {row.how}, {row.together} at once"
            yield Target(what=what, bound=SPEEDUP, measured=row.speedup, met=row.speedup >= SPEEDUP)
            lost = round(100 * (whole[row.how, row.together].accuracy - row.accuracy), 3)
            what = f"points of accuracy that it loses, {row.how}, {row.together} at once"
            yield Target(what=what, bound=POINTS, measured=lost, met=lost <= POINTS)
