import json
import os
from pathlib import Path

import numpy as np
import pytest

from common.claims.similarity import similarity
from common.errors import Invalid
from llm_studies.icl_priors.chance import Level, chance_corrected, chance_level, random_subsets, trivial_levels
from llm_studies.icl_priors.items import at_least_half

DATA = Path(os.environ.get("KITHARA_DATA", "nowhere"))
needs_goemotions = pytest.mark.skipif(
    not (DATA / "emotion_text").is_dir(), reason="set KITHARA_DATA to a folder with emotion_text"
)
needs_annotators = pytest.mark.skipif(
    not (DATA / "annotator_level").is_dir(), reason="set KITHARA_DATA to a folder with annotator_level"
)


def levels(truth: np.ndarray) -> dict[str, Level]:
    return {level.name: level for level in trivial_levels(truth)}


def expected_micro(truth: np.ndarray) -> float:
    """Of a truth against another item's: n p^2 expected hits per label; exact but for items that meet themselves."""
    rates = truth.mean(0)
    return float((rates**2).sum() / rates.sum())


def test_levels_by_closed_form() -> None:
    truth = np.random.default_rng(1).random((500, 4)) < np.array([0.05, 0.1, 0.2, 0.4])
    found = levels(truth)
    sizes = truth.sum(1)
    assert found["always none"][1:] == pytest.approx(((sizes == 0).mean(), 0, 0))
    assert found["all labels"].js == pytest.approx((sizes / 4).mean())
    share = truth.mean()
    assert found["all labels"].micro_f1 == pytest.approx(2 * share / (1 + share))
    assert found["shuffled gold"].micro_f1 == pytest.approx(expected_micro(truth), abs=0.004)
    # A subset of uniform size holds each label with chance 1/2, and is empty with chance 1/5.
    assert found["random subset"].micro_f1 == pytest.approx(share / (share + 0.5), abs=0.004)


def test_random_subsets_are_uniform_in_size_and_over_labels() -> None:
    drawn = random_subsets(40_000, 3, np.random.default_rng(2))
    assert np.bincount(drawn.sum(1)) / 40_000 == pytest.approx([0.25] * 4, abs=0.01)
    assert drawn.mean(0) == pytest.approx([0.5] * 3, abs=0.01)
    ones = drawn[drawn.sum(1) == 1]
    assert ones.mean(0) == pytest.approx([1 / 3] * 3, abs=0.02)


def test_levels_depend_on_the_seed_alone() -> None:
    truth = np.random.default_rng(3).random((50, 3)) < 0.3
    assert trivial_levels(truth, seed=4) == trivial_levels(truth, seed=4) != trivial_levels(truth, seed=5)


def test_chance_correction() -> None:
    assert chance_corrected(0.6, 0.2) == pytest.approx(0.5)
    assert chance_corrected(0.2, 0.2) == 0.0
    assert chance_corrected(1.0, 0.9) == 1.0
    assert chance_corrected(1.0, 1.0) is None
    rng = np.random.default_rng(6)
    a, b = rng.random((2, 400, 3)) < 0.15
    js, chance = similarity(a, b), chance_level(a, b, seed=7)[0]
    assert js > 0.4  # two unrelated labellings, mostly empty
    assert chance_corrected(js, chance) == pytest.approx(0.0, abs=0.05)


def test_a_truth_without_items_is_refused() -> None:
    with pytest.raises(Invalid, match="bool array"):
        trivial_levels(np.zeros((0, 3), bool))


@needs_goemotions
def test_goemotions_levels() -> None:
    """Acceptance check E: always-none and all-labels to 3 decimals, drawn levels within 0.01."""
    folder = DATA / "emotion_text"
    clusters = json.loads((folder / "goemotions_clusters.json").read_text("utf-8"))
    fine = (folder / "goemotions_labels.txt").read_text("utf-8").split()
    rows = (folder / "goemotions_dev.tsv").read_text("utf-8").split("\n")[:800]
    sets = [{fine[int(i)] for i in row.split("\t")[1].split(",")} for row in rows]
    truth = np.array([[bool(labels & set(members)) for members in clusters.values()] for labels in sets])
    found = levels(truth)
    # The exact value is 0.2625, which the table rounds up.
    assert found["always none"].js == pytest.approx(0.263, abs=5.1e-4)
    assert round(found["all labels"].micro_f1, 3) == 0.219
    assert found["shuffled gold"].js == pytest.approx(0.175, abs=0.01)
    assert (found["random subset"].js, found["random subset"].micro_f1) == pytest.approx((0.138, 0.198), abs=0.01)
    # The table's 0.164 is a draw; its expectation over shuffles is 0.154.
    assert found["shuffled gold"].micro_f1 == pytest.approx(expected_micro(truth), abs=0.002)
    assert found["shuffled gold"].micro_f1 == pytest.approx(0.164, abs=0.011)


@needs_annotators
def test_hs_brexit_levels() -> None:
    by: dict[str, list[list[bool]]] = {}
    for line in (DATA / "annotator_level" / "hs_brexit.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        by.setdefault(row["annotator"], []).append([row[label] == 1 for label in ("hate", "aggressive", "offensive")])
    truth = at_least_half(np.array([by[name] for name in sorted(by)]))
    found = levels(truth)
    assert len(truth) == 1_117
    assert round(found["always none"].js, 3) == 0.762
    assert round(found["all labels"].micro_f1, 3) == 0.266
    shuffled, subset = found["shuffled gold"], found["random subset"]
    assert (shuffled.js, shuffled.micro_f1) == pytest.approx((0.617, 0.176), abs=0.01)
    assert (subset.js, subset.micro_f1) == pytest.approx((0.276, 0.240), abs=0.01)
