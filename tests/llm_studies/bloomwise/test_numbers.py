"""Canonical numbers (bloomwise.md 5)."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_studies.bloomwise.numbers import bare, equal, parse, scan, show

values = st.fractions(max_denominator=10**9) | st.integers(-(10**30), 10**30).map(Fraction)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("40,000", "40000"),
        ("1,234,567.50", "1234567.5"),
        ("1\u2009234\u2009567", "1234567"),
        ("$40{,}000", "40000"),
        ("\\$5", "5"),
        ("$-5", "-5"),
        ("-$5", "-5"),
        ("€ 7.50", "7.5"),
        ("£3", "3"),
        ("50%", "50"),
        ("50\\%", "50"),
        ("14.00", "14"),
        ("70.", "70"),
        (".5", "0.5"),
        ("+3", "3"),
        ("−5", "-5"),
        ("1/2", "1/2"),
        ("1 1/2", "3/2"),
        ("-1 1/2", "-3/2"),
        ("1½", "3/2"),
        ("\\frac{3}{4}", "3/4"),
        ("-\\frac{3}{4}", "-3/4"),
        ("-\\dfrac34", "-3/4"),
        ("2\\frac{1}{4}", "9/4"),
        ("3.5e3", "3500"),
        ("2E-2", "0.02"),
        ("3 x 10^5", "300000"),
        ("3 \\times 10^{-2}", "0.03"),
        ("10^5", "100000"),
        ("**12**", "12"),
        ("(12)", "12"),
        ("`12`", "12"),
        ("12 apples", "12"),
        ("12\\text{ cm}", "12"),
        ("5 cm^2", "5"),
        ("60 km/h", "60"),
        ("30°", "30"),
    ],
)
def test_reads_a_number_with_what_surrounds_it(text: str, value: str) -> None:
    assert parse(text) == Fraction(value)


@pytest.mark.parametrize(
    "text",
    ["", "many", "12,34", "1,2345", "0,123", "1,234,56", "10:30", "3/4/2021", "1/0", "1.2.3", "1e999", "x = 5",
     "3 or 4", "9" * 101],
)  # fmt: skip
def test_what_is_no_number_has_no_value(text: str) -> None:
    assert parse(text) is None
    assert bare(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("12 - 3 = 9", ["12", "3", "9"]),
        ("12-3=9", ["12", "3", "9"]),
        ("(5)-2", ["5", "2"]),
        ("it fell to -4.", ["-4"]),
        ("at 10:30 it cost 1,200 and then 12,34", ["1200"]),
        ("on 3/4/2021 half, or 1/2, of 8", ["1/2", "8"]),
    ],
)
def test_scans_a_text_for_numbers(text: str, found: list[str]) -> None:
    assert list(scan(text)) == [Fraction(one) for one in found]


def test_a_bare_number_has_no_unit() -> None:
    assert bare("12 apples") is None
    assert bare("**12**") is None
    assert bare("$1,200.50.") == Fraction("1200.5")


@given(values)
def test_what_is_shown_is_read_again(value: Fraction) -> None:
    assert parse(show(value)) == bare(show(value)) == value


@given(st.integers(-(10**12), 10**12), st.integers(0, 6))
def test_shows_decimals_as_they_are_written(units: int, places: int) -> None:
    value = Fraction(units, 10**places)
    assert Fraction(show(value)) == value
    assert "/" not in show(value)


@given(st.integers(1, 10**15))
def test_thousands_are_read_where_python_writes_them(value: int) -> None:
    assert parse(f"{value:,}") == value


@given(values, values)
def test_equality_is_symmetric_and_reflexive(one: Fraction, other: Fraction) -> None:
    assert equal(one, one)
    assert equal(one, other) == equal(other, one)


@given(st.integers(-(10**40), 10**40), st.integers(-3, 3))
def test_integers_are_compared_exactly(value: int, step: int) -> None:
    assert equal(Fraction(value), Fraction(value + step)) == (step == 0)


def test_the_tolerances_are_those_of_the_specification() -> None:
    third = Fraction(1, 3)
    assert equal(third, Fraction("0.333"))
    assert not equal(third, Fraction("0.332"))
    assert equal(Fraction("1234567.5"), Fraction("1234567"))  # a millionth of it is 1.2
    assert not equal(Fraction("1234.5"), Fraction("1234"))
    # 9284017268534.5 and ...535 are one float32 and two answers only when both are integers.
    assert not equal(Fraction(9284017268534), Fraction(9284017268535))
