"""Honest programmes: exact answers, one status for each way to fail, bounded concurrency."""

import asyncio
import importlib.util
import math
import signal
import threading
from decimal import Decimal
from fractions import Fraction

import pytest

from common.errors import OperatorError
from llm_studies.sandbox import bubblewrap
from llm_studies.sandbox.limits import Limits
from llm_studies.sandbox.run import Line, Outcome, Sandbox

VALUES = {
    "answer = 6 * 7": 42,
    "answer = -(2 ** 200)": -(2**200),
    "answer = 2 ** 53 + 1": 2**53 + 1,
    "answer = 0.1 + 0.2": 0.30000000000000004,
    "answer = 1e300": 1e300,
    "answer = -5e-324": -5e-324,
    "answer = 'B'": "B",
    "answer = 'é\\n{\"nonce\": 1}'": 'é\n{"nonce": 1}',
    "from fractions import Fraction\nanswer = Fraction(-22, 7)": Fraction(-22, 7),
    "from decimal import Decimal\nanswer = Decimal('1.10')": Decimal("1.10"),
    "from decimal import Decimal\nanswer = Decimal('-1E-7')": Decimal("-1E-7"),
    "import math\nanswer = math.factorial(20)": math.factorial(20),
    "from math import *\nanswer = sqrt(16)": 4.0,
    "import statistics as s\nanswer = s.mean([1, 2, 3, 4])": 2.5,
    "from itertools import combinations\nanswer = len(list(combinations(range(5), 2)))": 10,
    "from collections import Counter\nanswer = Counter('aab').most_common(1)[0][0]": "a",
    "from datetime import datetime\nanswer = datetime.strptime('2024-02-29', '%Y-%m-%d').day": 29,
    "def solution():\n    _, b = 1, 2\n    return b\nanswer = solution()": 2,
    "answer = '{:.2f} {:>{}}'.format(3.14159, 'x', 3)": "3.14   x",
    "answer = f'{1234:,}'": "1,234",
    "type = 3\ninput = type + 1\nanswer = input": 4,
    "match (1, 2):\n    case (1, x):\n        answer = x": 2,
    "class Box:\n    size = 3\nanswer = Box.size": 3,
    "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    answer = str(error)": "division by zero",
    "print('working'); answer = 1": 1,
}


@pytest.mark.parametrize("code", VALUES)
def test_value_is_exact(sandbox: Sandbox, code: str) -> None:
    outcome = sandbox.run(code)
    assert (outcome.status, outcome.value, type(outcome.value)) == ("ok", VALUES[code], type(VALUES[code]))
    assert outcome.seconds > 0


FAILURES = {
    "x = 1": ("no-answer", "does not assign"),
    "answer = (1": ("syntax", "line 1: SyntaxError"),
    "  answer = 1": ("syntax", "IndentationError"),
    "\n\nimport os": ("forbidden", "line 3: the module 'os'"),
    "answer = 1\nanswer = 1 / 0": ("exception", "line 2: ZeroDivisionError: division by zero"),
    "def f():\n    return {}['k']\nanswer = f()": ("exception", "line 2: KeyError"),
    "answer = undefined": ("exception", "NameError"),
    "raise SystemExit": ("forbidden", "SystemExit"),
    "answer = float('nan')": ("non-finite", "nan"),
    "answer = -1e999": ("non-finite", "-inf"),
    "from decimal import Decimal\nanswer = Decimal('NaN')": ("non-finite", "NaN"),
    "answer = [1]": ("non-number", "list"),
    "answer = True": ("non-number", "bool"),
    "answer = None": ("non-number", "NoneType"),
    "answer = 1j": ("non-number", "complex"),
    "answer = 10 ** 1000": ("non-number", "more than 1000 digits"),
    "from fractions import Fraction\nanswer = Fraction(1, 10 ** 1000)": ("non-number", "digits"),
}


@pytest.mark.parametrize("code", FAILURES)
def test_failure_has_its_status_and_tells_the_author(sandbox: Sandbox, code: str) -> None:
    status, detail = FAILURES[code]
    outcome = sandbox.run(code)
    assert outcome.status == status
    assert outcome.value is None
    assert detail in outcome.detail


def test_the_largest_number_that_is_taken(sandbox: Sandbox) -> None:
    assert sandbox.run("answer = 10 ** 1000 - 1").value == 10**1000 - 1


@pytest.mark.skipif(not importlib.util.find_spec("sympy"), reason="sympy is not installed")
def test_sympy_where_installed(sandbox: Sandbox) -> None:
    solve = "from sympy import symbols, solve, Eq\nx = symbols('x')\nanswer = solve(Eq(3 * x, {}), x)[0]"
    found = [sandbox.run(solve.format(value)).value for value in ("6", "2", "0.75")]
    assert found == [2, Fraction(2, 3), 0.25]


async def test_at_most_so_many_at_once_and_none_lost() -> None:
    running, most, lock = 0, 0, threading.Lock()

    class Counting(Sandbox):
        def run(self, code: str) -> Outcome:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            try:
                return super().run(code)
            finally:
                with lock:
                    running -= 1

    sandbox = Counting(Limits(parallel=3), "rlimits")
    outcomes = await asyncio.gather(*(sandbox.arun(f"answer = {n}") for n in range(12)))
    sandbox.close()
    assert [outcome.value for outcome in outcomes] == list(range(12))
    assert most == 3


def test_one_sandbox_serves_several_loops() -> None:
    sandbox = Sandbox(isolation="rlimits")
    assert [asyncio.run(sandbox.arun(f"answer = {n}")).value for n in range(3)] == [0, 1, 2]
    sandbox.close()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "1_0"),
        ("int", "٣"),
        ("int", "9" * 5000),
        ("float", "nan"),
        ("Decimal", "1E+999999"),
        ("Fraction", "1/0"),
        ("", "1"),
    ],
)
def test_a_child_is_not_believed(kind, text: str) -> None:
    """Were the child taken over, it could still only send what an honest one sends."""
    line = Line(nonce="n", status="ok", kind=kind, text=text)
    assert Sandbox()._value(line, 0.0).status == "exception"


@pytest.mark.parametrize(
    ("code", "seconds", "status"),
    [
        (-signal.SIGXCPU, 2.1, "timeout"),
        (128 + signal.SIGXCPU, 2.1, "timeout"),
        (-signal.SIGKILL, 3.1, "timeout"),
        (128 + signal.SIGKILL, 0.5, "memory"),
        (-signal.SIGSEGV, 0.5, "exception"),
        (0, 0.1, "exception"),
    ],
)
def test_a_death_without_a_result_is_told_from_its_signal(code: int, seconds: float, status: str) -> None:
    """The kernel kills for processor time, which cannot exceed the time on the wall, or for memory."""
    assert Sandbox()._died(code, seconds).status == status


def test_isolation_is_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "works", lambda: False)
    assert Sandbox().isolation == "rlimits"
    monkeypatch.setattr(bubblewrap, "works", lambda: True)
    assert Sandbox().isolation == "bubblewrap"


def test_bubblewrap_absent_is_not_taken_for_working(monkeypatch: pytest.MonkeyPatch) -> None:
    bubblewrap.works.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    assert bubblewrap.isolation() == "rlimits"
    bubblewrap.works.cache_clear()


def test_where_nothing_can_be_run_the_operator_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sandbox, "_proved", False)
    monkeypatch.setattr(bubblewrap, "command", lambda *_: ["/bin/false"])
    with pytest.raises(OperatorError, match="install bubblewrap"):
        Sandbox(isolation="rlimits")
