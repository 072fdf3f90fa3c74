"""The machinery of the claims; what they find is measured by the command and asserted nowhere."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from common.claims.harness import Condition
from common.claims.report import FIGURE, RESULTS
from common.data.images import SETS, Images, Split
from common.errors import OperatorError
from contracts.claims import ClaimRow, ClaimsReport
from contracts.models import DataSource
from vision_nlp.acn import claims as module
from vision_nlp.acn.experiments import side_by_side
from vision_nlp.acn.experiments.lab import ACN, CLEAN, KINDS, Experiment, Lab, Scale
from vision_nlp.acn.experiments.latency import Bench, Served
from vision_nlp.acn.system import SYSTEM

TINY = Scale(seeds=2, layers=2, shallow=1, width=8, epochs=1, rows=150, each=3, task=1, tune=1, draws=1)
SEEDS = (0, 1)


def served(bench: Bench, kind: str, depth: int) -> Served:
    """Exports take seconds, and are tested with ``latency``."""
    return Served(0.1 * depth, {1: 10.0 * depth, 32: 100.0 * depth}, {1: 2 / depth, 32: 2 / depth})


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ClaimsReport, Path]]:
    out = tmp_path_factory.mktemp("claims")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "QUICK", TINY)
        patch.setattr(Bench, "_time", served)
        yield module.claims(quick=True, data=None, seeds=None, out=out, command="kithara claims acn --quick"), out


def measured(made: ClaimsReport) -> dict[tuple[str, int], dict[str, float]]:
    return {(row.condition, row.seed): row.values for row in made.rows}


def test_every_condition_is_measured_under_every_seed(report: tuple[ClaimsReport, Path]) -> None:
    seen = measured(report[0])
    names = {condition for condition, _ in seen}
    assert seen.keys() == {(name, seed) for name in names for seed in SEEDS}
    assert len(seen) == len(report[0].rows)
    assert {name.partition(": ")[0] for name in names} == {e.title for e in module.EXPERIMENTS}
    assert {f"layers: {kind}" for kind in KINDS} <= names
    assert all(math.isfinite(v) for values in seen.values() for v in values.values())


def test_every_claim_is_about_figures_that_were_measured(report: tuple[ClaimsReport, Path]) -> None:
    seen = measured(report[0])
    stated = list(module.all_claims())
    for claim in stated:
        for condition, figure in (claim.method, claim.control):
            assert math.isfinite(figure(seen[condition, 0]))
    # None is dropped and none is stated twice against the same control.
    assert [c.claim for c in report[0].claims] == sorted(
        (c.claim for c in stated), key=[c.claim for c in report[0].claims].index
    )
    assert len({(c.claim, c.data, c.control) for c in report[0].claims}) == len(stated)


def test_an_effect_is_the_mean_difference_within_seeds(report: tuple[ClaimsReport, Path]) -> None:
    of = measured(report[0])
    scratch = side_by_side.EXPERIMENT.named(side_by_side.scratch(CLEAN))
    cut = side_by_side.EXPERIMENT.named(side_by_side.cut(ACN))
    claim = next(c for c in report[0].claims if c.claim == f"cut {ACN} beats {CLEAN} of its depth from scratch")
    differences = [100 * (of[cut, s]["accuracy"] - of[scratch, s]["accuracy"]) for s in SEEDS]
    assert claim.effect == pytest.approx(np.mean(differences))
    assert claim.seeds == len(SEEDS)


def test_the_decisive_control_is_as_deep_as_the_cut_and_no_larger(report: tuple[ClaimsReport, Path]) -> None:
    of, named = measured(report[0]), side_by_side.EXPERIMENT.named
    for seed in SEEDS:
        cut = of[named(side_by_side.cut(ACN)), seed]
        assert cut["blocks"] == of[f"layers: {ACN}", seed]["cut"]
        for kind in side_by_side.SCRATCH:
            assert of[named(side_by_side.scratch(kind)), seed]["blocks"] == cut["blocks"]
        assert of[named(side_by_side.scratch(ACN)), seed]["parameters"] == cut["parameters"]
        assert cut["accuracy"] == of[f"layers: {ACN}", seed][f"after {cut['blocks']:.0f}"]


def test_the_report_is_written_and_is_exchanged_whole(report: tuple[ClaimsReport, Path]) -> None:
    made, out = report
    text = (out / RESULTS).read_text("utf-8")
    assert sum(line.startswith("| ") and line.endswith("** |") for line in text.splitlines()) == len(made.claims)
    for drawing in (FIGURE, "depth.svg", "latency.svg", "noise.svg", "pruning.svg"):
        assert f"]({drawing})" in text
        assert ElementTree.parse(out / drawing).getroot().tag.endswith("svg")
    assert msgspec.json.decode(msgspec.json.encode(made), type=ClaimsReport) == made
    assert made.system == SYSTEM.name


def test_a_seed_fixes_every_figure_but_seconds(report: tuple[ClaimsReport, Path]) -> None:
    lab = Lab(module.load_images("digits", None), TINY._replace(seeds=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bench, "_time", served)
        again = [row for e in module.EXPERIMENTS[:3] for row in module.measure("digits", lab, (e,))]
    first = [row for row in report[0].rows if row.seed == 0][: len(again)]
    assert [timeless(row) for row in again] == [timeless(row) for row in first]


def timeless(row: ClaimRow) -> tuple[str, dict[str, float]]:
    return row.condition, {name: value for name, value in row.values.items() if name != "training s"}


def test_other_sets_than_the_first_get_the_central_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(title: str) -> Experiment:
        def conditions(lab: Lab) -> dict[str, Condition]:
            return {"a": lambda seed: {"size": float(lab.images.known.size)}}

        return Experiment(title, conditions, lambda: iter(()))

    def images(name: str, data: Path | None) -> Images:
        known = SETS[name]
        split = Split(np.zeros(0), np.zeros(0), DataSource(name=name, licence="-", sha256="0" * 64, items=1))
        return Images(known, split, split)

    experiments = tuple(fake(str(i)) for i in range(6))
    monkeypatch.setattr(module, "EXPERIMENTS", experiments)
    monkeypatch.setattr(module, "CENTRAL", experiments[:2])
    monkeypatch.setattr(module, "load_images", images)
    for quick, names in ((True, ("fashion_mnist", "cifar10")), (False, ("fashion_mnist", "cifar10", "mnist"))):
        made = module.claims(quick=quick, data=Path("data"), seeds=2, out=None, command="")
        wanted = [(name, i) for n, name in enumerate(names) for i in range(2 if n else 6)]
        assert list(dict.fromkeys(row.data for row in made.rows)) == [f"{name}, {i}" for name, i in wanted]
        assert {row.data: row.values["size"] for row in made.rows}["cifar10, 0"] == 32


def test_one_seed_is_refused_before_any_training() -> None:
    with pytest.raises(OperatorError, match="--seeds 2"):
        module.claims(quick=True, data=None, seeds=1, out=None, command="")


def test_a_data_folder_without_the_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="fashion_mnist"):
        module.claims(quick=True, data=tmp_path, seeds=2, out=None, command="")
