"""What is claimed, about which conditions, and what measured values make of it."""

from collections.abc import Mapping

import pytest

from common.claims.harness import judge
from contracts.claims import ClaimRow
from speech.medusa.experiments.arms import ARMS, FULL, LATE, ONE_STAGE
from speech.medusa.experiments.conditions import (
    APART,
    BASELINE,
    BEST,
    HARD_VOTE,
    MACRO,
    META,
    OWN_ROWS,
    RARE,
    SINGLE,
    SOFT_VOTE,
)
from speech.medusa.experiments.statements import statements

NAMES = {*ARMS, BEST, SOFT_VOTE, HARD_VOTE, META, SINGLE, OWN_ROWS, BASELINE}


def rows(values: Mapping[str, Mapping[str, float]], data: str = "made") -> tuple[ClaimRow, ...]:
    """The same values under three seeds."""
    return tuple(
        ClaimRow(condition=name, data=data, seed=seed, values=dict(found))
        for seed in range(3)
        for name, found in values.items()
    )


def verdicts(values: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[str, float]]:
    return {found.claim: (found.verdict, found.effect) for found in judge(tuple(statements()), rows(values))}


def test_every_claim_compares_conditions_that_are_measured() -> None:
    found = list(statements())
    assert {name for claim in found for name in (claim.method[0], claim.control[0])} == NAMES
    assert len({claim.claim for claim in found}) == len(found)
    # Each arm is the control of a claim about the whole method, each way to combine of one about the meta-classifier.
    assert {c.control[0] for c in found if c.method[0] == FULL} == {*ARMS, BASELINE} - {FULL}
    assert {c.control[0] for c in found if c.method[0] == META} == {
        SOFT_VOTE,
        HARD_VOTE,
        BEST,
        OWN_ROWS,
        SINGLE,
        BASELINE,
    }


def test_an_effect_is_in_points_and_a_set_without_the_conditions_has_no_row() -> None:
    found = verdicts({FULL: {MACRO: 0.52, RARE: 0.4}, LATE: {MACRO: 0.50}, ONE_STAGE: {MACRO: 0.53, RARE: 0.3}})
    assert found == {
        "deep fusion beats late fusion": ("holds", pytest.approx(2.0)),
        "stage 2 helps at equal updates": ("does not hold", pytest.approx(-1.0)),
        "stage 2 raises the recall of the rarer classes at equal updates": ("holds", pytest.approx(10.0)),
    }


@pytest.mark.parametrize(
    ("distance", "verdict"), [(0.0, "holds"), (0.014, "holds"), (0.016, "does not hold"), (0.2, "does not hold")]
)
def test_a_soup_must_be_near_a_single_run_and_need_not_be_better(distance: float, verdict: str) -> None:
    """Section 10.9: within 1.5 points, on whichever side."""
    found = verdicts({META: {MACRO: 0.5, APART: distance}, SINGLE: {MACRO: 0.5 + distance}})
    assert found["the soup of six runs differs by less than 1.5 points from a single run"][0] == verdict


@pytest.mark.parametrize(("vote", "verdict"), [(0.40, "holds"), (0.449, "holds"), (0.47, "does not hold")])
def test_a_vote_that_gains_nothing_on_the_best_member_is_the_papers_reading(vote: float, verdict: str) -> None:
    found = verdicts({BEST: {MACRO: 0.44}, SOFT_VOTE: {MACRO: vote}})
    assert found["the soft vote gains less than 1 point on the best member"][0] == verdict
