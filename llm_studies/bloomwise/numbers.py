"""Numbers as models and gold files write them, read exactly, and when two of them are the same answer (spec. 5).

Values are ``Fraction``: golds of GSM-hard reach 1e13, and no answer goes through a float.
"""

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction

ABSOLUTE, RELATIVE = Fraction(1, 1000), Fraction(1, 10**6)
"""Tolerances between two numbers of which one is not an integer."""
LONGEST = 100
"""Digits of a number, and size of an exponent; what is longer is no answer to anything."""

GROUPED = "[1-9][0-9]{0,2}(?P<comma>[,\u2009\u202f\u00a0])[0-9]{3}(?:(?P=comma)[0-9]{3})*(?![0-9])"
TIMES_TEN = r"\ ?(?:[x×*]|\\times|\\cdot)\ ?10(?:\^|\*\*)"
NUMBER = re.compile(
    rf"""
    (?<![0-9.:/]) (?<![0-9],)                 # not the tail of a decimal, a time, a date or a malformed group
    (?P<sign>(?:(?<![\w.)\]}}])[-+])?)        # a sign, unless something stands before it to subtract from
    (?:[$€£]\ ?)?
    (?P<late>(?:(?<=[$€£])[-+])?)             # $-5
    (?:
        (?:(?P<whole>[0-9]+)\ +)?(?P<over>[0-9]+)/(?P<under>[0-9]+)
      | 10(?:\^|\*\*)\{{?(?P<power>[-+]?[0-9]+)\}}?
      | (?:(?P<integer>{GROUPED}|[0-9]+)(?P<decimals>\.[0-9]+)?|(?P<below>\.[0-9]+))
        (?:[eE](?P<e>[-+]?[0-9]+)|{TIMES_TEN}\{{?(?P<ten>[-+]?[0-9]+)\}}?)?
    )
    (?![0-9]|[.,:/][0-9])                     # nor the head of one
    """,
    re.VERBOSE,
)
FRAC = re.compile(r"\\[dt]?frac *(?:\{ *([-+]?[0-9]+) *\} *\{ *([0-9]+) *\}|([0-9])([0-9]))")
WRAP = re.compile(r"\\(?:text|mathrm|mathbf|textbf|operatorname) *\{([^{}]*)\}")
VULGAR = re.compile("[\u00bc-\u00be\u2150-\u215e]")
TO_ASCII = str.maketrans({"−": "-", "–": "-", "﹣": "-", "－": "-", "＋": "+", "⁄": "/"})
UNESCAPED = (("{,}", ","), ("\\$", "$"), ("\\%", "%"), ("\\!", ""), ("\\,", "\u2009"), ("\\ ", " "))
SURROUND = "*_`\"'()[]{}\\ \t\r\n"
UNIT = re.compile(r"[\s%°]*(?:[^\W\d_](?:[^\d=<>+*]|\^?[23]\b)*)?[\s.!]*")


def plain(text: str) -> str:
    """Typographic signs, fractions and the commonest LaTeX as ASCII arithmetic."""
    text = text.translate(TO_ASCII)
    text = VULGAR.sub(lambda m: _apart(m) + unicodedata.normalize("NFKC", m[0]).replace("\u2044", "/"), text)
    for escaped, meant in UNESCAPED:
        text = text.replace(escaped, meant)
    return FRAC.sub(lambda m: f"{_apart(m)}{m[1] or m[3]}/{m[2] or m[4]}", WRAP.sub(r" \1", text))


def _apart(fraction: re.Match[str]) -> str:
    """A blank between the whole part of a mixed number and its fraction."""
    return " " if fraction.string[: fraction.start()][-1:].isdigit() else ""


def scan(text: str) -> Iterator[Fraction]:
    """Every number in a text, in its order. Times, dates and malformed groups of thousands are none."""
    return (value for m in NUMBER.finditer(plain(text)) if (value := _value(m)) is not None)


def last(text: str) -> Fraction | None:
    """The last number in a text."""
    found = reversed(list(NUMBER.finditer(plain(text))))
    return next((value for m in found if (value := _value(m)) is not None), None)


def parse(text: str) -> Fraction | None:
    """The one number that a text states, with its currency, percent sign (dropped), markup and unit; else None."""
    text = plain(text).strip(SURROUND)
    found = NUMBER.match(text)
    return _value(found) if found and UNIT.fullmatch(text, found.end()) else None


def bare(text: str) -> Fraction | None:
    """The number that a text is, without unit and markup; a currency or percent sign and a last period may stand."""
    text = text.translate(TO_ASCII).strip().removesuffix(".").removesuffix("%")
    found = NUMBER.fullmatch(text)
    return _value(found) if found else None


def show(value: Fraction) -> str:
    """Canonical text: an integer, a decimal that ends, or a fraction. ``parse`` reads the same value again."""
    rest = value.denominator
    twos = (rest & -rest).bit_length() - 1
    rest >>= twos
    fives = 0
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    places = max(twos, fives)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def equal(one: Fraction, other: Fraction) -> bool:
    """Two integers exactly; else within 1e-3, or a millionth of the larger. Symmetric, not transitive."""
    if one.denominator == other.denominator == 1:
        return one == other
    return abs(one - other) <= max(ABSOLUTE, RELATIVE * max(abs(one), abs(other)))


def _value(found: re.Match[str]) -> Fraction | None:
    part = found.groupdict()
    if any(len(digits) > LONGEST for digits in part.values() if digits):
        return None
    if part["power"]:
        value = _power(part["power"])
    elif part["over"]:
        if not int(part["under"]):
            return None
        value = int(part["whole"] or 0) + Fraction(int(part["over"]), int(part["under"]))
    else:
        integer = re.sub("[^0-9]", "", part["integer"] or "0")
        value = Fraction(integer + (part["decimals"] or part["below"] or ""))
        if exponent := part["e"] or part["ten"]:
            scale = _power(exponent)
            value = value * scale if scale is not None else None
    if value is None:
        return None
    return -value if (part["sign"] == "-") != (part["late"] == "-") else value


def _power(exponent: str) -> Fraction | None:
    """Ten to that power, if it is one that an answer may have."""
    return Fraction(10) ** int(exponent) if abs(int(exponent)) <= LONGEST else None
