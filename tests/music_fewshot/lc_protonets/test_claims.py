"""The claims command on the generated set at its smallest: pairing, controls and effects, by value."""

from pathlib import Path

import pytest

from common.errors import OperatorError
from contracts.claims import ClaimsReport
from music_fewshot.lc_protonets import claims as module
from music_fewshot.lc_protonets.corpora import load
from music_fewshot.lc_protonets.study import METHODS, PRE, QUICK, SETUPS, SHORT_WINDOW, Scale, config

SEEDS = 2


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[ClaimsReport, Path]:
    out = tmp_path_factory.mktemp("claims")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "QUICK", Scale(seeds=SEEDS, pretrain=1, epochs=1, episodes=2))
        return module.claims(quick=True, data=None, seeds=None, out=out, command="kithara claims"), out


def test_every_condition_is_measured_under_every_seed(report: tuple[ClaimsReport, Path]) -> None:
    wanted = {PRE, *(f"{setup} {method}" for setup in SETUPS for method in METHODS)}
    assert {(row.condition, row.seed) for row in report[0].rows} == {(c, s) for c in wanted for s in range(SEEDS)}


def test_conditions_of_a_seed_share_their_episode_and_differ_in_their_embedding(
    report: tuple[ClaimsReport, Path],
) -> None:
    of = {(row.condition, row.seed): row.values for row in report[0].rows}
    for seed in range(SEEDS):
        for name in ("both all_ones macro", "both true", "both combinations", "novel closed sets"):
            assert len({of[condition, s][name] for condition, s in of if s == seed}) == 1
        assert of[PRE, seed]["both blend macro"] != of["scratch lcp", seed]["both blend macro"]
    assert of[PRE, 0]["both true"] != of[PRE, 1]["both true"]


def test_naming_every_tag_has_the_f1_that_its_density_gives(report: tuple[ClaimsReport, Path]) -> None:
    """Precision is the share p of true cells and recall is 1: micro-F1 = 2 p / (1 + p)."""
    tags = len(load("generated", None).tags)
    for row in report[0].rows:
        p = row.values["both true"] / tags
        assert row.values["both all_ones micro"] == pytest.approx(2 * p / (1 + p), abs=1e-12)
        assert row.values["both all_ones told"] == tags


def test_an_effect_is_the_mean_difference_within_seeds(report: tuple[ClaimsReport, Path]) -> None:
    made, _ = report
    of = {(row.condition, row.seed): row.values for row in made.rows}
    claim = next(c for c in made.claims if c.claim == "novel: trained last, LCP beats ML-PN")
    differences = [
        of["last lcp", s]["novel lcp macro"] - of["last ml_pn", s]["novel ml_pn macro"] for s in range(SEEDS)
    ]
    assert claim.effect == pytest.approx(100 * sum(differences) / SEEDS)
    assert claim.seeds == SEEDS


def test_the_report_is_written(report: tuple[ClaimsReport, Path]) -> None:
    made, out = report
    text = (out / "RESULTS.md").read_text(encoding="utf-8")
    assert text.count("| generated |") == len(made.claims)
    assert (out / "claims.svg").stat().st_size > 0


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
