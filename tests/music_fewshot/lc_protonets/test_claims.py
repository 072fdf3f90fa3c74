"""The claims command on the generated set at its smallest: pairing, controls and effects, by value."""

import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from common.errors import OperatorError
from contracts.claims import ClaimsReport
from music_fewshot.lc_protonets import claims as module
from music_fewshot.lc_protonets import study
from music_fewshot.lc_protonets.corpora import load
from music_fewshot.lc_protonets.study import METHODS, PRE, QUICK, SETUPS, SHORT_WINDOW, Scale, config

SEEDS = (3, 4)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClaimsReport, Path]:
    out = tmp_path_factory.mktemp("claims")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "QUICK", Scale(seeds=len(SEEDS), pretrain=1, epochs=1, episodes=2))
        return module.claims(quick=True, data=None, seeds=None, out=out, command="kithara claims"), out


def measured(made: ClaimsReport) -> dict[tuple[str, int], dict[str, float]]:
    return {(row.condition, row.seed): row.values for row in made.rows}


def test_every_condition_is_measured_under_every_seed(report: tuple[ClaimsReport, Path]) -> None:
    trainings = (PRE, *(f"{setup} {method}" for setup in SETUPS for method in METHODS))
    # The tones have fewer tags than the narrower episodes ask for.
    wanted = {f"{training}, {split}" for training in trainings for split in ("base", "novel", "both")}
    assert measured(report[0]).keys() == {(condition, seed) for condition in wanted for seed in SEEDS}


def test_conditions_of_a_seed_share_their_episode_and_differ_in_their_embedding(
    report: tuple[ClaimsReport, Path],
) -> None:
    of = measured(report[0])
    for seed in SEEDS:
        for name in ("all_ones macro", "true", "combinations", "closed sets", "support", "queries"):
            assert len({v[name] for (c, s), v in of.items() if s == seed and c.endswith(", both")}) == 1
        assert of["pre, both", seed]["blend macro"] != of["scratch lcp, both", seed]["blend macro"]
    assert of["pre, both", SEEDS[0]]["true"] != of["pre, both", SEEDS[1]]["true"]


def test_naming_every_tag_has_the_f1_that_its_density_gives(report: tuple[ClaimsReport, Path]) -> None:
    """Precision is the share p of true cells and recall is 1: micro-F1 = 2 p / (1 + p)."""
    corpus = load("generated", None)
    sizes = {"base": corpus.base, "novel": len(corpus.tags) - corpus.base, "both": len(corpus.tags)}
    for row in report[0].rows:
        tags = sizes[row.condition.rpartition(" ")[2]]
        p = row.values["true"] / tags
        assert row.values["all_ones micro"] == pytest.approx(2 * p / (1 + p), abs=1e-12)
        assert row.values["all_ones told"] == row.values["tags"] == tags


def test_an_effect_is_the_mean_difference_within_seeds(report: tuple[ClaimsReport, Path]) -> None:
    made, _ = report
    of = measured(made)
    claim = next(c for c in made.claims if c.claim == "novel: trained last, LCP beats ML-PN")
    differences = [of["last lcp, novel", s]["lcp macro"] - of["last ml_pn, novel", s]["ml_pn macro"] for s in SEEDS]
    assert claim.effect == pytest.approx(100 * sum(differences) / len(SEEDS))
    assert claim.seeds == len(SEEDS)


def test_cardinality_and_prototypes_are_told_in_doublings_and_powers_of_ten(
    report: tuple[ClaimsReport, Path],
) -> None:
    made, _ = report
    pre = [measured(made)["pre, both", seed] for seed in SEEDS]
    of = {c.claim: c for c in made.claims}
    doublings = [abs(math.log(v["lcp told"] / v["true"], 2)) for v in pre]
    told = of["both: LCP names between half and twice as many tags as there are"]
    assert (told.effect, told.threshold) == (pytest.approx(-sum(doublings) / len(SEEDS)), -1.0)
    tens = [math.log(v["combinations"] / v["closed sets"], 10) for v in pre]
    sets = of["both: at most a tenth of the combinations are closed sets"]
    assert (sets.effect, sets.threshold) == (pytest.approx(sum(tens) / len(SEEDS)), 1.0)


def test_narrower_episodes_are_asked_of_the_untuned_network_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 40 tags, 24 are base: novel has 16, so that 15 of them are an episode of their own."""
    tones = load("generated", None)
    truth = np.random.default_rng(0).random((150, 40)) < 0.4
    split = tones.splits["test"]._replace(truth=truth)
    wide = tones._replace(tags=tuple(map(str, range(40))), base=24, splits={**tones.splits, "test": split})
    monkeypatch.setattr(study, "load", lambda name, data: wide)
    names = study.Study("generated", None, QUICK, tmp_path).conditions().keys()
    assert {name for name in names if name.startswith(f"{PRE}, ")} == {
        f"{PRE}, {cell}" for cell in ("base", "novel", "novel-15", "both", "both-30")
    }
    assert not [name for name in names if "-" in name.partition(", ")[2] and not name.startswith(PRE)]
    known = {c for claim in module.all_claims() for c in (claim.method[0], claim.control[0])}
    assert known == {name for name in names if name in known}


def test_seeds_are_the_paper_s_first() -> None:
    assert module.seed_numbers(2) == (3, 4)
    assert module.seed_numbers(7) == (3, 4, 7, 13, 21, 22, 23)


def test_the_report_is_written(report: tuple[ClaimsReport, Path]) -> None:
    made, out = report
    text = (out / "RESULTS.md").read_text(encoding="utf-8")
    assert text.count("| generated |") == len(made.claims)
    for drawing in ("claims", "macro", "cardinality", "scalability"):
        assert f"]({drawing}.svg)" in text
        assert ElementTree.parse(out / f"{drawing}.svg").getroot().tag.endswith("svg")


def test_one_seed_is_refused() -> None:
    with pytest.raises(OperatorError, match="seeds 2"):
        module.claims(quick=True, data=None, seeds=1, out=None, command="")


def test_set_ups_are_configured_as_the_paper_names_them() -> None:
    corpus = load("generated", None)
    pre = config(corpus, 1, QUICK)
    assert (pre.pretrain.epochs, pre.episodic.epochs, pre.start) == (QUICK.pretrain, 0, None)
    last = config(corpus, 1, QUICK, method="ovr", trained="last", start="run")
    assert (last.pretrain.epochs, last.episodic.trained, last.episodic.method, last.start) == (0, "last", "ovr", "run")
    assert last.episodic.ways + last.data.validation_tags <= corpus.base
    assert pre.model.window == SHORT_WINDOW <= corpus.splits["train"].inputs.shape[1]
