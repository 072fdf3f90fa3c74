"""Control rules (bloomwise.md 1.1) and check J: properties over random answers."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_studies.bloomwise.extract import same
from llm_studies.bloomwise.rules import Outcome, Rule, converge, decide, majority, oracle, self_eval

answers = st.lists(st.none() | st.integers(0, 3).map(str), min_size=1, max_size=6)
verdicts = st.lists(st.sampled_from(["accept", "continue", None]), min_size=6, max_size=6)
rules = st.builds(
    Rule,
    kind=st.sampled_from(["converge", "self_eval", "majority", "fixed", "all"]),
    agree=st.integers(2, 4),
    fallback=st.sampled_from(["last", "majority"]),
)


@pytest.mark.parametrize(
    ("given_", "agree", "outcome"),
    [
        (["1", "1"], 2, Outcome(0, 2, True)),
        (["1", "2", "2", "2"], 2, Outcome(1, 3, True)),
        (["1", "2", "2", "2"], 3, Outcome(1, 4, True)),
        (["1", "2", "1", "2"], 2, Outcome(3, 4, False)),
        ([None, None, "1"], 2, Outcome(2, 3, False)),
        (["1", None, "1"], 2, Outcome(2, 3, False)),
        (["1"], 2, Outcome(0, 1, False)),
        # 1 ~ 1.0009 ~ 1.0018, but the ends differ: neighbours are compared, and equality is not transitive.
        (["1", "1.0009", "1.0018"], 3, Outcome(0, 3, True)),
        (["1", "1.0018", "1.0009"], 2, Outcome(1, 3, True)),
    ],
)
def test_converge_puts_out_the_earliest_of_the_agreeing_levels(given_: list, agree: int, outcome: Outcome) -> None:
    assert converge(given_, agree) == outcome


def test_the_fallback_decides_where_nothing_agrees() -> None:
    said = ["5", "7", "5", "8"]
    assert converge(said, fallback="last").level == 3
    assert converge(said, fallback="majority").level == 2


@pytest.mark.parametrize(
    ("given_", "level"),
    [(["1", "2", "1"], 2), (["1", "2"], 1), (["1", "2", "2", "1"], 3), ([None, None, "4"], 2), ([None, None], 1)],
)
def test_majority_gives_ties_to_the_highest_level(given_: list, level: int) -> None:
    assert majority(given_) == level


def test_self_evaluation_stops_at_the_first_acceptance() -> None:
    assert self_eval(["1", "2", "3"], ["continue", "accept", "accept"]) == Outcome(1, 2, True)
    assert self_eval(["1", "2"], ["continue", None]) == Outcome(1, 2, False)


def test_the_oracle_counts_up_to_the_first_right_level() -> None:
    assert oracle(["1", "2", "3"], "2.0") == (True, 2)
    assert oracle(["1", None], "2") == (False, 2)


@given(answers, verdicts, rules)
def test_the_outcome_is_one_of_the_levels(said: list, judged: list, rule: Rule) -> None:
    found = decide(rule, said, judged)
    assert 0 <= found.level < found.asked <= len(said)


@given(answers, st.integers(2, 4))
def test_converge_puts_out_a_level_before_the_one_it_stops_at(said: list, agree: int) -> None:
    found = converge(said, agree)
    if found.ended:
        assert found.level == found.asked - agree < found.asked - 1
        run = said[found.level : found.asked]
        assert all(same(a, b) for a, b in pairwise(run))
    else:
        assert found.asked == len(said)


@given(answers, verdicts, rules, st.none() | st.integers(0, 3).map(str))
def test_another_level_never_changes_an_ended_outcome(said: list, judged: list, rule: Rule, more: str | None) -> None:
    found = decide(rule, said, judged)
    if found.ended:
        assert decide(rule, [*said, more], judged) == found
        # ... and level by level, as it is run, the ladder ends where the replay says.
        first = next(k for k in range(1, len(said) + 1) if decide(rule, said[:k], judged).ended)
        assert first == found.asked


@given(answers)
def test_majority_is_a_mode_of_what_was_answered(said: list) -> None:
    counts = Counter(answer for answer in said if answer is not None)
    if counts:
        assert counts[said[majority(said)]] == max(counts.values())


@given(st.lists(answers, min_size=1, max_size=8), rules, st.randoms())
def test_the_order_of_problems_changes_nothing(problems: list, rule: Rule, rng) -> None:
    shuffled = sorted(range(len(problems)), key=lambda _: rng.random())
    assert [decide(rule, problems[i]) for i in shuffled] == [[decide(rule, p) for p in problems][i] for i in shuffled]
