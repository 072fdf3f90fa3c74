"""The machinery of the claims; what they find is measured by the command and asserted nowhere."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from common.claims.report import FIGURE, RESULTS
from common.errors import OperatorError
from contracts.claims import ClaimsReport
from vision_nlp.fff import claims as module
from vision_nlp.fff.claims import BALANCED, EQUAL_MAC, EQUAL_WIDTH, MASTER, PLAIN, TUNED, Scale, claims, shape_claims
from vision_nlp.fff.config import Model

SHAPE = Model(leaf_width=2, depth=2, master_width=3)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUICK", Scale(epochs=6, seeds=2, rows=300))
    monkeypatch.setattr(module, "SHAPES", (SHAPE,))


def test_measures_every_arm_under_every_seed(tiny: None, tmp_path: Path) -> None:
    report = claims(quick=True, data=None, seeds=None, out=tmp_path, command="kithara claims fff --quick")
    arms = {f"(2,2) {arm}" for arm in (PLAIN, BALANCED, MASTER, TUNED, EQUAL_MAC, EQUAL_WIDTH)}
    assert {(r.condition, r.seed) for r in report.rows} == {(arm, seed) for arm in arms for seed in (0, 1)}
    mac = {r.condition.removeprefix("(2,2) "): r.values["mac"] for r in report.rows}
    # 64 pixels, 10 labels: d * I + (l + m) * (I + O)
    assert (mac[PLAIN], mac[MASTER], mac[EQUAL_WIDTH]) == (2 * 64 + 2 * 74, 2 * 64 + 5 * 74, 8 * 74)
    assert abs(mac[EQUAL_MAC] - mac[TUNED]) <= 74 / 2
    for row in report.rows:
        assert {"train_hard", "test_hard", "mac"} <= row.values.keys()
        assert ("test_soft" in row.values) == ("dense" not in row.condition)
    assert {c.claim for c in report.claims} <= {c.claim for c in shape_claims("(2,2)")}
    assert {c.seeds for c in report.claims} == {2}
    assert msgspec.json.decode(msgspec.json.encode(report), type=ClaimsReport) == report
    assert (tmp_path / RESULTS).exists()
    assert (tmp_path / FIGURE).exists()


def test_a_seed_fixes_every_figure(tiny: None) -> None:
    scale = Scale(epochs=3, seeds=1, rows=200)
    first, again = (module.measure("digits", None, scale, (SHAPE,)) for _ in range(2))
    assert first == again


def test_writes_nothing_unless_told_where(tiny: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    claims(quick=True, data=None, seeds=None, out=None, command="kithara claims fff")
    assert list(tmp_path.iterdir()) == []


def test_every_claim_compares_arms_that_exist() -> None:
    splits = {0: module.draw("digits", None, 0, 100)}
    conditions = module.arms("digits", SHAPE, splits, epochs=3)
    for claim in shape_claims("(2,2)"):
        assert {claim.method[0], claim.control[0]} <= conditions.keys()


def test_hard_tuning_costs_no_extra_epoch() -> None:
    for epochs in (6, 45, 60, 150):
        for balance in (0.0, 1.0):
            two, three = module.two_phases(epochs, balance), module.three_phases(epochs, balance)
            for schedule in (two, three):
                assert sum(p.epochs for p in (schedule.balance, schedule.harden, schedule.tune)) == epochs
            assert (two.tune.epochs, three.tune.epochs) == (0, epochs // 3)


def test_a_seed_draws_disjoint_splits_of_the_bundled_digits() -> None:
    first, again, other = (module.draw("digits", None, seed, 10_000) for seed in (1, 1, 2))
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
    first, other = (module.draw("usps", tmp_path, seed, 50) for seed in (0, 1))
    assert [len(part.y) for part in first[:3]] == [45, 5, 30]
    np.testing.assert_array_equal(first.test.x, other.test.x)
    assert not np.array_equal(first.train.x, other.train.x)


def test_one_seed_is_refused_before_any_training() -> None:
    with pytest.raises(OperatorError, match="--seeds 2"):
        claims(quick=True, data=None, seeds=1, out=None, command="kithara claims fff --seeds 1")


def test_a_data_folder_without_the_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="mnist"):
        claims(quick=True, data=tmp_path, seeds=2, out=None, command="kithara claims fff")
