"""The strict and the flexible extractor (bloomwise.md 5)."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_studies.bloomwise.extract import flexible, same, strict, value_of, without_echo

OPTIONS = {"A": "12 km", "B": "15 km", "C": "√3", "D": "15.5%", "E": "None of these"}


@pytest.mark.parametrize(
    ("reply", "line", "loose", "how"),
    [
        ("2 + 2 = 4\nANSWER: 4", "4", "4", "line"),
        ("ANSWER: $1,200.50\n", "1200.5", "1200.5", "line"),
        ("ANSWER: 4 apples", None, "4", "line"),
        ("**Answer:** 4", None, "4", "line"),
        ("ANSWER: **4**", None, "4", "line"),
        ("answer: 3\nNo, wait.\nAnswer: 5\nDone at 7.", None, "5", "line"),
        ("ANSWER:\n\n12", None, "12", "line"),
        ("ANSWER:\r\n12\r\n", None, "12", "line"),
        ('{"answer": 12, "steps": 3}', None, "12", "line"),
        ("as a set {\\boxed{\\text{so } \\frac{3}{4}}} of {9", None, "0.75", "boxed"),
        ("ANSWER: 3 * 4 = 12 apples", None, "12", "line"),
        ("ANSWER: unknown\nIt is \\boxed{7} of 9", None, "7", "boxed"),
        ("First \\boxed{3}, then \\fbox{\\frac{1}{2}}, then 9", None, "0.5", "boxed"),
        ("never closed \\boxed{3, but 8", None, "8", "last"),
        ("... so 8 - 3\n#### 5\n(checked in 2 ways)", None, "5", "phrase"),
        ("The final answer is: $5. I am sure at 99 %", None, "5", "phrase"),
        ("We get 8 and then 1,024.", None, "1024", "last"),
        ("Nothing can be said.", None, None, "none"),
        ("", None, None, "none"),
        ("The train leaves at 10:30", None, None, "none"),
    ],
)
def test_both_extractors(reply: str, line: str | None, loose: str | None, how: str) -> None:
    assert strict(reply).answer == line
    found = flexible(reply)
    assert (found.answer, found.how) == (loose, how)


@pytest.mark.parametrize(
    ("reply", "line", "loose", "mapped"),
    [
        ("ANSWER: B", "B", "B", False),
        ("ANSWER: (b)", None, "B", False),
        ("ANSWER: B)", "B", "B", False),
        ("ANSWER: option b", None, "B", False),
        ("ANSWER: B) 15 km", None, "B", False),
        ("ANSWER: 15 km", None, "B", True),
        ("ANSWER: 15", None, "B", True),
        ("ANSWER: 15.5", None, "D", True),
        ("ANSWER: √3", None, "C", True),
        ("ANSWER: none of these", None, "E", True),
        ("ANSWER: 16", None, None, False),
        ("ANSWER: F", None, None, False),
        ("It can only be option (C).", None, "C", False),
        ("Not A) and not B), so D)", None, "D", False),
        ("That makes 12", None, "A", True),
        ("A train is a machine", None, None, False),
    ],
)
def test_options(reply: str, line: str | None, loose: str | None, mapped: bool) -> None:
    assert strict(reply, OPTIONS).answer == line
    found = flexible(reply, "", OPTIONS)
    assert (found.answer, found.mapped) == (loose, mapped)


def test_a_value_that_two_options_have_is_mapped_to_neither() -> None:
    twins = {"A": "3", "B": "3.0", "C": "4"}
    assert flexible("ANSWER: 3.000", "", twins).answer is None
    assert flexible("ANSWER: 3.0", "", twins).answer == "B"  # its very text


def test_an_echoed_problem_is_no_answer() -> None:
    problem = "Rea has 3 boxes\nand 14 pens. How many pens?"
    assert flexible("You ask: rea has 3 boxes and 14 pens.  How many pens?", problem).answer is None
    assert flexible("Rea has 3 boxes and 14 pens. How many pens? There are 42", problem).answer == "42"
    listed = "Which way? A) 12 km B) 15 km C) √3 D) 15.5% E) None of these"
    assert flexible(f"{listed} I do not know.", "Which way?", OPTIONS).answer is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_said_something_comes_back(reply: str, problem: str) -> None:
    for options in (None, OPTIONS):
        found = flexible(reply, problem, options)
        assert found.answer is None or same(found.answer, found.answer)
        assert (found.answer is None) == (found.how == "none")
        line = strict(reply, options)
        # The strict extractor never finds what the flexible one does not.
        assert line.answer is None or same(line.answer, found.answer)
    without_echo(reply, problem)


def test_no_answer_is_never_the_same_as_another() -> None:
    assert not same(None, None)
    assert not same(None, "3")
    assert same("0.5", "1/2")
    assert same("B", "B")
    assert not same("B", "C")


@pytest.mark.parametrize(
    ("value", "answer"),
    [(3, "3"), (3.0, "3"), (1e-07, "0.0000001"), (Fraction(1, 3), "1/3"), (Decimal("2.50"), "2.5"), ("7 km", "7"),
     (10**13 + 1, "10000000000001"), (None, None), ("many", None)],
)  # fmt: skip
def test_values_of_programmes(value: object, answer: str | None) -> None:
    assert value_of(value).answer == answer


def test_a_programme_may_name_an_option_or_compute_it() -> None:
    assert value_of("D", OPTIONS).answer == "D"
    assert value_of(15, OPTIONS) == value_of(15.0, OPTIONS)._replace()
    assert value_of(15, OPTIONS).mapped
