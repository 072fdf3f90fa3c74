import numpy as np
import pytest

from common.claims.harness import Claim, judge, paired_differences, run_paired, value, verdict
from common.claims.statistics import student_interval
from common.errors import OperatorError
from contracts.claims import ClaimRow
from contracts.models import Interval


def claim(threshold: float = 0.0, **changes) -> Claim:
    base = Claim(
        claim="method beats control",
        paper="section 1",
        unit="points",
        method=("method", value("acc", 100)),
        control=("control", value("acc", 100)),
        control_name="control",
        threshold=threshold,
    )
    return base._replace(**changes)


def rows(differences: list[float], data: str = "toy") -> tuple[ClaimRow, ...]:
    """One pair per difference, on a base that moves far more than the effect: only pairing can see it."""
    found = []
    for seed, difference in enumerate(differences):
        base = 10.0 * seed
        for condition, acc in (("control", base), ("method", base + difference)):
            found.append(ClaimRow(condition=condition, data=data, seed=seed, values={"acc": acc / 100}))
    return tuple(found)


def test_every_condition_meets_every_seed_in_paired_order() -> None:
    seen, told = [], []

    def condition(name: str):
        def measure(seed: int) -> dict[str, float]:
            seen.append((seed, name))
            return {"acc": seed + len(name)}

        return measure

    found = run_paired({"a": condition("a"), "bb": condition("bb")}, [3, 5], "toy", told.append)
    assert seen == [(3, "a"), (3, "bb"), (5, "a"), (5, "bb")]
    assert [(r.seed, r.condition, r.data, r.values["acc"]) for r in found] == [
        (3, "a", "toy", 4),
        (3, "bb", "toy", 5),
        (5, "a", "toy", 6),
        (5, "bb", "toy", 7),
    ]
    assert len(told) == 4


def test_differences_are_taken_within_a_seed_whatever_the_order_of_rows() -> None:
    shuffled = [rows([1.0, 2.0, 4.0])[i] for i in (5, 0, 3, 2, 4, 1)]
    assert paired_differences(claim(), shuffled) == pytest.approx([1.0, 2.0, 4.0])


def test_a_seed_without_its_control_is_no_pair() -> None:
    assert paired_differences(claim(), rows([1.0, 2.0])[:3]) == pytest.approx([1.0])


def test_a_premise_leaves_out_the_pairs_that_miss_it() -> None:
    limited = claim(where=lambda values: values["acc"] > 0.05)
    assert paired_differences(limited, rows([1.0, 2.0, 4.0])) == pytest.approx([2.0, 4.0])
    never = claim(where=lambda values: False)
    assert [r.claim for r in judge([never, claim()], rows([1.0, 2.0]))] == ["method beats control"]


def test_result_states_effect_interval_and_exact_p() -> None:
    differences = [1.0, 2.0, 3.0, 4.0]
    (found,) = judge([claim()], rows(differences))
    assert found.effect == pytest.approx(2.5)
    expected = student_interval(np.array(differences))
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high))
    assert found.p_value == found.p_holm == 2 / 2**4
    assert (found.seeds, found.data, found.unit) == (4, "toy", "points")
    assert found.verdict == "holds"


def test_the_same_rows_give_the_same_report_with_bootstrap() -> None:
    many = rows(list(np.random.default_rng(0).normal(0.5, 1, 20)))
    assert judge([claim()], many) == judge([claim()], many)


def test_p_tests_the_threshold_and_not_zero() -> None:
    (found,) = judge([claim(threshold=2.5)], rows([1.0, 2.0, 3.0, 4.0]))
    assert found.p_value == 1.0
    assert found.verdict == "inconclusive at this scale"


def test_holm_covers_all_claims_on_all_data() -> None:
    both = rows([1.0, 2.0, 3.0], "a") + rows([1.0, 2.0, 3.0], "b")
    found = judge([claim(), claim(threshold=1.0)], both)
    assert [r.data for r in found] == ["a", "a", "b", "b"]
    assert found[0].p_value == 0.25
    assert found[0].p_holm == 1.0


@pytest.mark.parametrize(
    ("low", "high", "threshold", "expected"),
    [
        (0.1, 2.0, 0.0, "holds"),
        (-2.0, -0.1, 0.0, "does not hold"),
        (-1.0, 1.0, 0.0, "inconclusive at this scale"),
        (0.0, 1.0, 0.0, "inconclusive at this scale"),
        (0.0, 0.0, 0.0, "inconclusive at this scale"),
        (1.0, 2.0, 3.0, "does not hold"),
        (-0.5, 0.5, -1.0, "holds"),
    ],
)
def test_verdict_rule(low: float, high: float, threshold: float, expected: str) -> None:
    assert verdict(Interval(low=low, high=high), threshold) == expected


def test_one_seed_is_refused_with_the_remedy() -> None:
    with pytest.raises(OperatorError, match="--seeds 2"):
        judge([claim()], rows([1.0]))
