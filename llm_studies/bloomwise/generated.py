"""Arithmetic word problems of our own, for machines without data: deterministic, solved, and right by construction.

Eight kinds of one to four steps; prices and means have decimals, and a share has options.
"""

import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from string import ascii_uppercase
from types import MappingProxyType
from typing import NamedTuple

from llm_studies.bloomwise.data import Problem
from llm_studies.bloomwise.numbers import show

NAMES = ("Eleni", "Marios", "Thalia", "Petros", "Danae", "Iason", "Kleio", "Orestis", "Rea", "Stavros")
THINGS = ("shells", "stamps", "walnuts", "marbles", "candles", "tickets", "tiles", "lemons", "buttons", "notebooks")
NEAR = (1, -1, 2, -2)
"""What the wrong options differ by."""


class Story(NamedTuple):
    """A text, its reasoning, and the value that the reasoning ends with."""

    question: str
    steps: tuple[str, ...]
    value: Fraction


class Dice:
    """Names, things and numbers of one story."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.name, self.other = rng.sample(NAMES, 2)
        self.thing = rng.choice(THINGS)

    def number(self, low: int, high: int) -> int:
        return self._rng.randint(low, high)


def _gather(d: Dice) -> Story:
    a, b = d.number(12, 90), d.number(5, 60)
    return Story(
        f"{d.name} has {a} {d.thing} and gets {b} more from {d.other}. How many {d.thing} does {d.name} have now?",
        (f"{a} + {b} = {a + b}",),
        Fraction(a + b),
    )


def _share(d: Dice) -> Story:
    each, people, left = d.number(3, 15), d.number(3, 9), 2
    total = each * people + left
    return Story(
        f"{d.name} divides {total} {d.thing} equally among {people} friends and keeps the {left} that are left over. "
        f"How many {d.thing} does each friend get?",
        (f"{total} - {left} = {total - left}", f"{total - left} / {people} = {each}"),
        Fraction(each),
    )


def _boxes(d: Dice) -> Story:
    boxes, each, broken = d.number(4, 14), d.number(6, 30), d.number(2, 20)
    return Story(
        f"A shop receives {boxes} boxes with {each} {d.thing} in each. {broken} of the {d.thing} are broken. "
        f"How many {d.thing} can be sold?",
        (f"{boxes} * {each} = {boxes * each}", f"{boxes * each} - {broken} = {boxes * each - broken}"),
        Fraction(boxes * each - broken),
    )


def _price(d: Dice) -> Story:
    cents, count, paid = 5 * d.number(5, 59), d.number(3, 12), 50
    price, cost = Fraction(cents, 100), Fraction(cents * count, 100)
    return Story(
        f"One of the {d.thing} costs {show(price)} euros. {d.name} buys {count} of them and pays with a {paid}-euro "
        "note. How many euros does the shop give back?",
        (f"{count} * {show(price)} = {show(cost)}", f"{paid} - {show(cost)} = {show(paid - cost)}"),
        paid - cost,
    )


def _journey(d: Dice) -> Story:
    speed, hours, rest, speed2 = d.number(40, 90), d.number(2, 5), d.number(1, 3), d.number(30, 80)
    one, two = speed * hours, speed2 * rest
    return Story(
        f"{d.name} drives {hours} hours at {speed} kilometres an hour and then {rest} hours at {speed2} kilometres an "
        "hour. How many kilometres is the whole way?",
        (f"{hours} * {speed} = {one}", f"{rest} * {speed2} = {two}", f"{one} + {two} = {one + two}"),
        Fraction(one + two),
    )


def _savings(d: Dice) -> Story:
    weekly, weeks, gift, spent = d.number(6, 25), d.number(4, 12), d.number(10, 40), d.number(5, 30)
    saved = weekly * weeks
    return Story(
        f"{d.name} saves {weekly} euros a week for {weeks} weeks, gets {gift} euros from {d.other}, and then spends "
        f"{spent} euros. How many euros are left?",
        (
            f"{weekly} * {weeks} = {saved}",
            f"{saved} + {gift} = {saved + gift}",
            f"{saved + gift} - {spent} = {saved + gift - spent}",
        ),
        Fraction(saved + gift - spent),
    )


def _difference(d: Dice) -> Story:
    a, times, given = d.number(8, 30), d.number(3, 5), d.number(1, 7)
    theirs = a * times
    return Story(
        f"{d.name} has {a} {d.thing}. {d.other} has {times} times as many and gives {given} of them to {d.name}. "
        f"How many more {d.thing} does {d.other} have than {d.name} then?",
        (
            f"{a} * {times} = {theirs}",
            f"{theirs} - {given} = {theirs - given}",
            f"{a} + {given} = {a + given}",
            f"{theirs - given} - {a + given} = {theirs - a - 2 * given}",
        ),
        Fraction(theirs - a - 2 * given),
    )


def _mean(d: Dice) -> Story:
    sold = [d.number(10, 60) for _ in range(4)]
    total = sum(sold)
    return Story(
        f"In four weeks {d.name} sold {sold[0]}, {sold[1]}, {sold[2]} and {sold[3]} {d.thing}. "
        f"How many {d.thing} is that a week on average?",
        (f"{' + '.join(map(str, sold))} = {total}", f"{total} / 4 = {show(Fraction(total, 4))}"),
        Fraction(total, 4),
    )


KINDS: MappingProxyType[str, Callable[[Dice], Story]] = MappingProxyType(
    {
        "gather": _gather,
        "share": _share,
        "boxes": _boxes,
        "price": _price,
        "journey": _journey,
        "savings": _savings,
        "difference": _difference,
        "mean": _mean,
    }
)


def problems(n: int, *, seed: int = 0, options: float = 0.0, split: str = "test") -> tuple[Problem, ...]:
    """``n`` problems with other texts, kinds in turn; a share ``options`` of them asks for a letter.

    A function of its arguments. Splits have different problems, and more of them only adds to fewer.
    """
    rng = random.Random(f"{split}/{seed}")
    found: dict[str, Problem] = {}
    kinds = tuple(KINDS.values())
    while len(found) < n:
        story = kinds[len(found) % len(kinds)](Dice(rng))
        choice = rng.random() < options
        shuffled = rng.sample(range(5), 5)
        if story.question not in found:
            one = _problem(story, f"generated-{split}-{len(found):04d}", split, shuffled if choice else None)
            found[story.question] = one
    return tuple(found.values())


def _problem(story: Story, name: str, split: str, order: Sequence[int] | None) -> Problem:
    values = [story.value, *(story.value + step for step in NEAR)]
    options = {letter: show(values[i]) for letter, i in zip(ascii_uppercase, order, strict=False)} if order else None
    gold = ascii_uppercase[order.index(0)] if order else show(story.value)
    return Problem(
        id=name,
        dataset="generated",
        split=split,
        question=story.question,
        gold=gold,
        gold_kind="option" if options else "number",
        options=options,
        solution=". ".join(story.steps) + ".",
    )
