"""The machinery of the claims; what they find is measured by the command and asserted nowhere."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from common.claims.report import FIGURE, RESULTS
from common.errors import OperatorError
from common.export.latency import BATCHES
from contracts.claims import ClaimRow, ClaimsReport
from vision_nlp.fff import claims as module
from vision_nlp.fff.arms import Arms
from vision_nlp.fff.claims import claims
from vision_nlp.fff.config import Model
from vision_nlp.fff.pareto import best, front_claims
from vision_nlp.fff.statements import BALANCED, EQUAL_MAC, MASTER, PLAIN, TUNED, arm, shape_claims
from vision_nlp.fff.study import Scale, draw, three_phases, train_tree, two_phases

SHAPE = Model(leaf_width=2, depth=2, master_width=3)
TINY = Scale(epochs=6, seeds=2, rows=300, batch=64, shapes=(SHAPE,))
WIDTHS = (2, 5)


@pytest.fixture(scope="module")
def measured() -> tuple[ClaimRow, ...]:
    """Every arm, trained, exported and timed once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TIMED", 0.01)
        patch.setattr("vision_nlp.fff.arms.WIDTHS", WIDTHS)
        return module.measure("digits", None, TINY)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, measured: tuple[ClaimRow, ...]) -> None:
    monkeypatch.setattr(module, "QUICK", TINY)
    monkeypatch.setattr(module, "measure", lambda name, data, scale: measured)


def test_measures_every_arm_under_every_seed(tiny: None, tmp_path: Path) -> None:
    report = claims(quick=True, data=None, seeds=None, out=tmp_path, command="kithara claims fff --quick")
    trees = {f"(2,2) {variant}" for variant in (PLAIN, BALANCED, MASTER, TUNED)}
    # The front's widths, the training width 2 * 4, and 2 + 3 + 2 * 64 / 74 for the cost of the tree with its master.
    dense = {"dense 2", "dense 5", "dense 7", "dense 8", "dense 5 int8"}
    found = {(r.condition, r.seed) for r in report.rows}
    assert found == {(c, seed) for c in trees | dense | {best(batch) for batch in BATCHES} for seed in (0, 1)}
    values = {(r.condition, r.seed): r.values for r in report.rows}
    # 64 pixels, 10 labels: d * I + (l + m) * (I + O)
    mac = {condition.removeprefix("(2,2) "): v["mac"] for (condition, seed), v in values.items() if seed == 0}
    assert (mac[PLAIN], mac[MASTER], mac["dense 8"]) == (2 * 64 + 2 * 74, 2 * 64 + 5 * 74, 8 * 74)
    assert abs(mac["dense 7"] - mac[TUNED]) <= 74 / 2
    for seed in (0, 1):
        assert values[arm(SHAPE, TUNED), seed][EQUAL_MAC] == values["dense 7", seed]["test_hard"]
    always = {"train_hard", "test_hard", "validation_hard", "mac", "latency_1_us", "latency_32_us"}
    of_trees = {"train_soft", "test_soft", "leaves_used", "leaf_least", "leaves_effective", "mean_max_p", "front_1"}
    for row in report.rows:
        assert always <= row.values.keys()
        assert (of_trees <= row.values.keys()) == ("dense" not in row.condition)
    stated = {c.claim for c in (*shape_claims(SHAPE), *front_claims([SHAPE]))}
    assert {c.claim for c in report.claims} <= stated
    assert {c.seeds for c in report.claims} == {2}
    assert msgspec.json.decode(msgspec.json.encode(report), type=ClaimsReport) == report
    text = (tmp_path / RESULTS).read_text("utf-8")
    assert "(2,2)" in text.split("Scale:")[1].splitlines()[0]
    for figure in (FIGURE, "pareto.svg"):
        assert f"({figure})" in text
        assert (tmp_path / figure).read_bytes().startswith(b"<?xml")


def test_a_seed_fixes_every_accuracy() -> None:
    splits = draw("digits", None, 0, 200)
    first, again = (train_tree(SHAPE, three_phases(3, 1.0), splits, 64, 0)[1] for _ in range(2))
    assert first == again


def test_writes_nothing_unless_told_where(tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    claims(quick=True, data=None, seeds=None, out=None, command="kithara claims fff")
    assert list(tmp_path.iterdir()) == []


def test_every_claim_compares_arms_that_exist(tmp_path: Path) -> None:
    names = Arms(TINY, {0: draw("digits", None, 0, 100)}, tmp_path).conditions().keys()
    for claim in shape_claims(SHAPE):
        assert {claim.method[0], claim.control[0]} <= names
    for claim in front_claims([SHAPE]):
        assert claim.method[0] == claim.control[0]
        assert claim.method[0] in {*names, *map(best, BATCHES)}


def test_a_promised_lift_is_the_threshold_of_its_shape_alone() -> None:
    """Specification, section 10, 6b; and at least a hundredth of the traffic for every leaf of a shallow tree, 5."""
    lifts = {}
    for leaf, depth in ((8, 4), (1, 5), (8, 1)):
        found = list(shape_claims(Model(leaf_width=leaf, depth=depth, master_width=8)))
        lifts[leaf, depth] = [c.threshold for c in found if "fine-tuning at equal epochs raises accuracy" in c.claim]
        assert any(c.threshold == 1.0 and "traffic" in c.claim for c in found) == (depth <= 2)
    assert lifts == {(8, 4): [5.0], (1, 5): [15.0], (8, 1): [0.0]}


def test_hard_tuning_costs_no_extra_epoch() -> None:
    for epochs in (6, 45, 60, 150):
        for balance in (0.0, 1.0):
            two, three = two_phases(epochs, balance), three_phases(epochs, balance)
            for schedule in (two, three):
                assert sum(p.epochs for p in (schedule.balance, schedule.harden, schedule.tune)) == epochs
            assert (two.tune.epochs, three.tune.epochs) == (0, epochs // 3)


def test_a_seed_draws_disjoint_splits_of_the_bundled_digits() -> None:
    first, again, other = (draw("digits", None, seed, 10_000) for seed in (1, 1, 2))
    parts = [part.x.numpy() for part in first[:3]]
    assert [len(part) for part in parts] == [1133, 125, 539]
    # Some digits occur twice in the set: all rows together are the whole set, whatever the seed.
    whole, others = (np.sort(np.concatenate([p.x.numpy() for p in s[:3]]), axis=0) for s in (first, other))
    np.testing.assert_array_equal(whole, others)
    np.testing.assert_array_equal(first.test.x, again.test.x)
    assert not np.array_equal(first.test.x, other.test.x)


def test_a_published_test_split_is_kept_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "usps").mkdir()
    for part, n in (("train", 120), ("test", 30)):
        images, labels = rng.integers(0, 256, (n, 16, 16), dtype=np.uint8), rng.integers(0, 10, n)
        np.savez(tmp_path / "usps" / f"{part}.npz", images=images, labels=labels)
    first, other = (draw("usps", tmp_path, seed, 50) for seed in (0, 1))
    assert [len(part.y) for part in first[:3]] == [45, 5, 30]
    np.testing.assert_array_equal(first.test.x, other.test.x)
    assert not np.array_equal(first.train.x, other.train.x)


def test_one_seed_is_refused_before_any_training() -> None:
    with pytest.raises(OperatorError, match="--seeds 2"):
        claims(quick=True, data=None, seeds=1, out=None, command="kithara claims fff --seeds 1")


def test_a_data_folder_without_the_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="mnist"):
        claims(quick=True, data=tmp_path, seeds=2, out=None, command="kithara claims fff")
