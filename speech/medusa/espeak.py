"""Speech from the program eSpeak NG: one sentence, in one voice, said in one manner."""

import re
import subprocess
from functools import cache
from html import escape
from typing import NamedTuple

from common.errors import OperatorError

PROGRAM = "espeak-ng"
MISSING = f"{PROGRAM} is not installed, and made speech needs it: install the Debian package {PROGRAM}"
PATIENCE = 60.0
"""Seconds for a sentence, which takes 0.02."""


class Manner(NamedTuple):
    """How something is said, in the program's own units."""

    pitch: float
    """0 to 99; 50 is the voice's own"""
    range: float
    """Per cent of the voice's own melody; 0 is monotonous"""
    speed: float
    """Words per minute, 80 to 450"""
    amplitude: float
    """0 to 200; 100 is usual"""

    def within(self) -> "Manner":
        """The nearest that the program takes, in whole numbers."""
        limits = ((0, 99), (0, 200), (80, 450), (10, 200))
        return Manner(*(float(round(min(max(x, low), high))) for x, (low, high) in zip(self, limits, strict=True)))


@cache
def version() -> str:
    """Of the program, such as ``1.51``. Raises OperatorError where it is not installed."""
    told = _run("--version").decode(errors="replace")
    found = re.search(r"\d+(\.\d+)+", told)
    if found is None:
        raise OperatorError(f"{PROGRAM} --version says {told[:80]!r}, which is no version; {MISSING}")
    return found[0]


def spoken(text: str, voice: str, manner: Manner) -> bytes:
    """A WAV file of ``text``. Raises OperatorError for a missing or failing program, or a voice it does not have."""
    pitch, span, speed, amplitude = (f"{x:.0f}" for x in manner.within())
    marked = f'<speak><prosody range="{span}%">{escape(text)}</prosody></speak>'
    sound = _run("--stdout", "-z", "-m", "-v", voice, "-p", pitch, "-s", speed, "-a", amplitude, marked)
    if not sound:
        raise OperatorError(f"{PROGRAM} said nothing in the voice {voice!r}; `{PROGRAM} --voices=en` lists the voices")
    return sound


def _run(*arguments: str) -> bytes:
    try:
        done = subprocess.run([PROGRAM, *arguments], capture_output=True, timeout=PATIENCE, check=False)
    except FileNotFoundError:
        raise OperatorError(MISSING) from None
    except subprocess.TimeoutExpired:
        raise OperatorError(
            f"{PROGRAM} did not end within {PATIENCE:g} s; try it by hand, and install it anew"
        ) from None
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip()[:200]
        raise OperatorError(
            f"{PROGRAM} failed with status {done.returncode}: {told}; `{PROGRAM} --voices=en` lists voices"
        )
    return done.stdout
