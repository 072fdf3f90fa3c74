"""What can be shown of BloomWise without a language model: exact replays, and the machinery on a simulated solver.

The body of arXiv 2410.04094 could not be read: no figure of it is compared with anything. What a model does is measured
by ``kithara study bloomwise``.
"""

import sys
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from common.claims.harness import Claim, judge, run_paired, value
from common.claims.report import report
from common.errors import OperatorError
from contracts.claims import ClaimRow, ClaimsReport
from llm_studies.bloomwise import data as sets
from llm_studies.bloomwise import replay
from llm_studies.bloomwise.simulated import (
    CONVERGE,
    COT,
    JUDGES,
    MATCHED,
    PARAPHRASES,
    SINGLE,
    WORLDS,
    conditions,
    self_eval,
)
from llm_studies.bloomwise.system import SYSTEM
from llm_studies.sandbox.run import Sandbox

POINTS = "points of accuracy"


class Scale(NamedTuple):
    """How much is spent."""

    seeds: int
    items: int
    """Generated problems under each seed."""
    programmes: int | None
    """Of each recorded set that are run; none: all."""


QUICK, FULL = Scale(seeds=5, items=100, programmes=100), Scale(seeds=10, items=500, programmes=None)

_accuracy = value("accuracy", 100)


def _claim(claim: str, paper: str, method: str, control: str) -> Claim:
    return Claim(claim, paper, POINTS, (method, _accuracy), (control, _accuracy), control)


CLAIMS = (
    _claim("stopping at agreement beats one chain of thought", "v2 abstract, the rule", CONVERGE, COT),
    _claim("stopping at agreement beats self-consistency at equal calls", "ours: the fair control", CONVERGE, MATCHED),
    _claim("stopping at agreement beats the best level alone", "ours", CONVERGE, SINGLE),
    _claim("levels beat paraphrases under the same rule", "ours: Bloom content or repetition?", CONVERGE, PARAPHRASES),
    *(
        _claim(f"self-evaluation with {judge} beats stopping at agreement", "v1 against v2", self_eval(judge), CONVERGE)
        for judge in JUDGES
    ),
)


def claims(*, quick: bool, data: Path | None, seeds: int | None, out: Path | None, command: str) -> ClaimsReport:
    """Replay what ``data`` holds, and measure every method on the simulated solver under every seed.

    Writes ``RESULTS.md`` and its figure into ``out`` when given. Raises OperatorError for fewer than two seeds, and
    when ``data`` lacks a set.
    """
    started = time.perf_counter()
    scale = QUICK if quick else FULL
    scale = scale._replace(seeds=scale.seeds if seeds is None else seeds)
    if scale.seeds < 2:
        raise OperatorError("one seed has no interval; give --seeds 2 or more")
    replayed = replays(data, scale.programmes)
    rows = tuple(row for name, rho in WORLDS.items() for row in simulated(name, rho, scale))
    return report(
        system=SYSTEM.name,
        command=command,
        scale=described(scale, replayed),
        claims=judge(CLAIMS, rows),
        rows=(*replayed, *rows),
        seconds=time.perf_counter() - started,
        out=out,
    )


def replays(data: Path | None, programmes: int | None) -> tuple[ClaimRow, ...]:
    """Everything that is there to be replayed, in order."""
    rows: list[ClaimRow] = []
    if data is not None:
        rows += replay.solutions(sets.recorded(data))
    if log := replay.given(replay.LOG_FILE, data):
        rows += replay.log(replay.read_log(log))
    if chains := replay.given(replay.COT_FILE, data):
        rows += replay.recorded_chains(replay.read_written(chains, "cot"))
    sandbox = Sandbox()
    if data is not None:
        golds = {one.id: one.gold for one in sets.load("gsm_hard", data)}
        reference = sets.programmes(data)[:programmes]
        rows += replay.reference_programmes(reference, [golds[one.id] for one in reference], sandbox)
    if written := replay.given(replay.POT_FILE, data):
        rows += replay.recorded_programmes(replay.read_written(written, "pot")[:programmes], sandbox)
    sandbox.close()
    return tuple(rows)


def simulated(name: str, rho: float, scale: Scale) -> tuple[ClaimRow, ...]:
    """Every condition under every seed in one world. Progress goes to standard error."""
    data, measured = f"simulated solver, {name}", conditions(rho, scale.items)
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        return run_paired(measured, range(scale.seeds), data, lambda done: console.print(done, highlight=False))
    with console.status(data) as status:
        return run_paired(measured, range(scale.seeds), data, status.update)


def described(scale: Scale, replayed: tuple[ClaimRow, ...]) -> str:
    """What the report is made of; where a recorded log is replayed, its figures to the last digit."""
    exact = "; ".join(
        f"{row.condition} {100 * row.values['accuracy']:.4f} %" for row in replayed if row.data == replay.LOG
    )
    said = "Replays are exact and have no seed." if replayed else "Nothing is replayed: give --data."
    return (
        f"Claims: {scale.seeds} seeds of {scale.items} generated problems each, on a simulated solver whose accuracies "
        "are ours (five levels of 50 to 65 %, every other prompt at their mean): they test rules, account and "
        "statistics, and say nothing about any language model or about the paper, whose figures could not be read. "
        f"{said}"
        + (f" {replay.LOG} (the file that {replay.LOG_FILE[0]} names): {exact}." if exact else "")
        + _named(replayed, replay.COT, replay.COT_FILE[0])
        + _named(replayed, replay.POT, replay.POT_FILE[0])
    )


def _named(replayed: tuple[ClaimRow, ...], data: str, variable: str) -> str:
    return f" {data}: the file that {variable} names." if any(row.data == data for row in replayed) else ""
