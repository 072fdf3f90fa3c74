"""The claims at tiny size, and what their report says and hides."""

import os
from pathlib import Path

import numpy as np
import pytest

from common.claims.harness import judge
from common.claims.report import RESULTS
from common.errors import OperatorError
from common.system import system
from contracts.claims import ClaimRow
from llm_studies.icl_priors import claims as module
from llm_studies.icl_priors.claims import Scale, claims, scenes
from llm_studies.icl_priors.data import goemotions
from llm_studies.icl_priors.facts import published
from llm_studies.icl_priors.generated import Sizes, generate
from llm_studies.icl_priors.items import AGGREGATE, matrix
from llm_studies.icl_priors.statements import statements
from llm_studies.icl_priors.trials import Scene, minority, neutral, pulled, trials, two_noises
from llm_studies.simulate.config import sized
from llm_studies.simulate.gold import of_corpus

TINY = Scale(seeds=2, items=30, tests=5, respondents=3, repetitions=2, studies=500)


def scene(items: int = 100, tests: int = 200, respondents: int = 10) -> Scene:
    corpus = generate(0, Sizes(200, items, 100))
    return Scene(corpus, of_corpus(corpus), 25, items, tests, respondents)


def test_the_system_is_found_and_has_claims_alone() -> None:
    found = system("icl_priors")
    assert found.load("claims") is claims
    with pytest.raises(OperatorError, match="has no 'train'"):
        found.load("train")


def test_report_says_that_the_respondent_is_simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUICK", TINY)
    report = claims(quick=True, data=None, seeds=None, out=tmp_path, command="kithara claims icl_priors --quick")
    text = (tmp_path / RESULTS).read_text()
    assert "no language model was asked" in text
    assert {claim.data for claim in report.claims} == {"generated", "estimators"}
    assert {claim.seeds for claim in report.claims} == {2}
    assert len(report.claims) == 20 + 4
    shown = [item.text for item in generate(0, Sizes(200, TINY.items, 100)).items]
    assert not any(sentence in text for sentence in shown), "no sentence of the data"
    equal = next(claim for claim in report.claims if "cannot where the prior alone answers" in claim.claim)
    assert (equal.effect, equal.verdict) == (1.0, "holds")


def test_one_seed_is_refused() -> None:
    with pytest.raises(OperatorError, match="--seeds 2 or more"):
        claims(quick=True, data=None, seeds=1, out=None, command="")


def test_a_folder_without_the_files_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"hs_brexit\.jsonl"):
        claims(quick=True, data=tmp_path, seeds=2, out=None, command="")


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_pull_is_found_again_through_prompts_and_parser(size) -> None:
    """Check A on whole studies: mean of three seeds; one seed has an SD of 0.02 and 0.04."""
    respondent = sized(size).respondent
    found = [pulled(scene(), respondent, seed) for seed in range(3)]
    assert np.mean([one["kappa"] for one in found]) == pytest.approx(respondent.kappa, abs=0.05)
    assert np.mean([one["eps1"] for one in found]) == pytest.approx(respondent.eps1, abs=0.06)
    assert np.mean([one["kappa_naive"] for one in found]) < respondent.kappa


def test_a_steadier_prior_raises_similarity_and_not_pull() -> None:
    """Section 8.3: "stronger pull" and "higher consistency" are no independent findings unless noise is modelled."""
    found = [two_noises(scene(), seed) for seed in range(2)]
    means = {name: np.mean([one[name] for one in found]) for name in found[0]}
    assert means["to_prior_steady"] > means["to_prior_noisy"] + 0.05
    assert means["kappa_steady"] == pytest.approx(means["kappa_noisy"], abs=0.06)


def test_a_prior_of_one_group_is_found_and_null_studies_are_not() -> None:
    """Check H: detected on every seed; false positives at most 5 %, up to the error of 2 x 200 null studies."""
    found = [minority(scene(), seed) for seed in range(2)]
    for one in found:
        assert one["to_second_group"] > one["to_first_group"]
        assert one["p"] < 0.05
    rate = np.mean([one["false_positives"] for one in found])
    assert rate <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_a_prior_that_knows_neither_group_is_found_nearer_to_none() -> None:
    """Check H, its null: 20 respondents whose latent prior is independent of both groups."""
    rate = np.mean([neutral(scene(), seed)["false_positives"] for seed in range(2)])
    assert rate <= 0.05 + 3 * (0.05 * 0.95 / 20) ** 0.5


def test_five_percent_means_five_percent() -> None:
    """Both rows of false positives are judged against 5 %, without an allowance: 5.05 % measured does not hold."""
    rates = [claim for claim in statements() if "in at most 5 % of studies" in claim.claim]
    assert [claim.method[0] for claim in rates] == ["prior of the control group", "neutral prior"]
    assert [claim.threshold for claim in rates] == [0.0, 0.0]
    rows = [
        ClaimRow(condition=claim.method[0], data="any", seed=seed, values={"false_positives": rate})
        for claim in rates
        for seed, rate in enumerate([0.0475, 0.0535, 0.0505])
    ]
    assert {found.verdict for found in judge(rates, rows)} == {"inconclusive at this scale"}


def test_every_seed_is_another_study() -> None:
    condition = trials(scene(40, 1))["respondent medium"]
    assert condition(0) == condition(0)
    assert condition(0) != condition(1)


@pytest.fixture
def data() -> Path:
    root = os.environ.get("KITHARA_DATA", "")
    if not root or not (Path(root) / "annotator_level").is_dir() or not (Path(root) / "emotion_text").is_dir():
        pytest.skip("set KITHARA_DATA to a folder with annotator_level and emotion_text")
    return Path(root)


def test_published_files_give_the_specifications_figures(data: Path) -> None:
    """Checks E, F, G: every ``spec_`` figure beside ours, to its rounding; drawn levels within 0.01 and 0.015.

    The specification's shuffled figures come from few shuffles; ours are means of 200, and on GoEmotions 0.154 where it
    says 0.164: the expectation, sum n_l^2 / (n sum n_l), is checked in its place.
    """
    rows = list(published(data))
    assert len(rows) == 2 * 4 + 6 + 1 + 2 * 4
    for row in rows:
        for name, stated in row.values.items():
            if name.startswith("spec_"):
                drawn = row.condition in ("shuffled gold", "random subset")
                rounded = (0.015 if "f1" in name else 0.01) if drawn else 0.0051
                assert row.values[name.removeprefix("spec_")] == pytest.approx(stated, abs=rounded), (row.data, name)
    gold = matrix(goemotions(data).split("dev")[:800], AGGREGATE).sum(0)
    shuffled = next(row for row in rows if row.data.startswith("goemotions,") and row.condition == "shuffled gold")
    assert shuffled.values["micro_f1"] == pytest.approx((gold**2).sum() / (800 * gold.sum()), abs=0.003)


def test_studies_on_published_texts_run_and_show_no_sentence(data: Path) -> None:
    for one in scenes(TINY, data):
        if one.corpus.name != "generated":
            values = trials(one)["respondent large"](0)
            assert 0 < values["prior_self"] < 1
