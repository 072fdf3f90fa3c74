"""Recorded replies, scored again: figures that must come out exactly, whoever runs this (bloomwise.md 5 and 10)."""

import asyncio
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from common.errors import OperatorError
from contracts.claims import ClaimRow
from llm_studies.bloomwise import numbers
from llm_studies.bloomwise.data import MODELS, Programme, Recorded
from llm_studies.bloomwise.extract import flexible, same, value_of
from llm_studies.bloomwise.rules import Outcome, converge, majority, oracle
from llm_studies.sandbox.run import Sandbox

SOLUTIONS = "GSM8K, recorded solutions of four models"
LOG = "GSM8K, zero-shot-CoT log"
GSM_HARD = "GSM-hard, reference programmes"
COT = "GSM8K, recorded chains of thought"
POT = "GSM8K, recorded programmes"

LOG_FILE = ("KITHARA_ZERO_SHOT_COT_LOG", "gsm8k_zero_shot_cot.log")
"""kojima-takeshi188/zero_shot_cot: log/gsm8k_zero_shot_cot.log. Variable that names it, or its name in the data..."""
POT_FILE = ("KITHARA_XOT_PROGRAMMES", "demo_pot_0_end.jsonl")
"""...of tengxiaoliu/XoT: outputs/gsm/pot/demo_pot_0_end.jsonl..."""
COT_FILE = ("KITHARA_XOT_CHAINS", "demo_cot_0_end.jsonl")
"""...and outputs/gsm/cot/demo_cot_0_end.jsonl. None of them states a licence: none is shipped."""
FOLDER = "recorded_logs"

PREDICTED = re.compile(r"^pred_mode : (.*)\nGT : (.*)$", re.MULTILINE)
LAST = re.compile(r"-?[0-9][0-9,]*(?:\.[0-9]+)?")
"""The plain rule: the last of these is the answer, its commas left out."""
SIZE = re.compile(r"^data size : ([0-9]+)$", re.MULTILINE)


class Logged(NamedTuple):
    """One item of a log."""

    predicted: str
    gold: str


class Written(NamedTuple):
    """A recorded reply, and whether it was counted right."""

    text: str
    gold: str
    right: bool


def given(file: tuple[str, str], data: Path | None) -> Path | None:
    """A file that is only there when somebody fetched it."""
    variable, name = file
    if named := os.environ.get(variable):
        if not Path(named).is_file():
            raise OperatorError(f"{variable} names {named}, and there is no such file")
        return Path(named)
    found = data / FOLDER / name if data else None
    return found if found and found.is_file() else None


def solutions(recorded: Sequence[Recorded]) -> list[ClaimRow]:
    """Check A: the four models as levels of a ladder, and the agreement of our scoring with the recorded one."""
    answers = [[last_line(row.replies[model]) for model in MODELS] for row in recorded]
    golds = [row.gold for row in recorded]
    rows = []
    for k, model in enumerate(MODELS):
        right = [same(one[k], gold) for one, gold in zip(answers, golds, strict=True)]
        found = [same(flexible(row.replies[model], row.question).answer, row.gold) for row in recorded]
        flags = [row.recorded_correct[model] for row in recorded]
        values = {
            "accuracy": _mean(right),
            "agrees with the record": sum(map(bool.__eq__, right, flags)),
            "flexible agrees": sum(map(bool.__eq__, found, flags)),
        }
        rows.append(_row(SOLUTIONS, f"level {k + 1}, {model}", values))
    for fallback in ("last", "majority"):
        done = [converge(one, fallback=fallback) for one in answers]
        rows.append(_row(SOLUTIONS, f"converge, fallback {fallback}", _ladder(answers, golds, done)))
    chosen = [one[majority(one)] for one in answers]
    rows.append(_row(SOLUTIONS, "majority", {"accuracy": _mean(map(same, chosen, golds)), "calls": float(len(MODELS))}))
    seen = list(map(oracle, answers, golds))
    values = {"accuracy": _mean(one.correct for one in seen), "calls": _mean(one.asked for one in seen)}
    rows.append(_row(SOLUTIONS, "oracle, stopped at the first right level", values))
    return rows


def last_line(reply: str) -> str | None:
    """The answer of a recorded solution: what follows the last ``A:``, without commas, ``$`` and a last full stop."""
    _, marked, said = reply.rpartition("A:")
    value = numbers.bare(said.replace(",", "").replace("$", "").strip()) if marked else None
    return None if value is None else numbers.show(value)


def read_log(file: Path) -> list[Logged]:
    """The items of a log: after each one stand ``pred_mode : <text>`` and ``GT : <text>``, and before all of them
    ``data size : <n>``. Raises OperatorError for another file, or one that was cut off."""
    text = file.read_text("utf-8", errors="replace")
    items = [Logged(*found) for found in PREDICTED.findall(text)]
    size = SIZE.search(text)
    if size is None or int(size[1]) != len(items) or not items:
        said = size[1] if size else "no number of"
        raise OperatorError(f"{file}: {len(items)} predictions, and it speaks of {said} items; fetch the log again")
    return items


def log(items: Sequence[Logged]) -> list[ClaimRow]:
    """Check B: the same predictions as strings, as their authors compared them, and as numbers."""
    compared = {
        "equal as strings": [one.predicted == one.gold for one in items],
        "equal as numbers": [_equal(one.predicted, one.gold) for one in items],
    }
    return [_row(LOG, name, {"accuracy": _mean(right), "right": sum(right)}) for name, right in compared.items()]


def read_written(file: Path, kind: Literal["pot", "cot"]) -> list[Written]:
    """Replies in JSON lines: ``reason/<kind>``, ``inst/gold_answer`` and ``reason/<kind>/score``; programmes assign
    ``ans``. Raises OperatorError."""
    written = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            gold = str(row["inst/gold_answer"])
            written.append(Written(str(row[f"reason/{kind}"]), gold, row[f"reason/{kind}/score"] == 1))
        except (ValueError, KeyError, TypeError) as error:
            raise OperatorError(f"{file}, line {number}: no recorded reply ({error}); fetch it again") from None
    return written


def reference_programmes(programmes: Sequence[Programme], golds: Sequence[str], sandbox: Sandbox) -> list[ClaimRow]:
    """GSM-hard: each reference programme computes its gold answer."""
    answers = run_all([f"{one.code}\nanswer = solution()\n" for one in programmes], sandbox)
    values = {"agrees with gold": sum(map(same, answers, golds)), "without an answer": answers.count(None)}
    return [_row(GSM_HARD, "run in the sandbox", values)]


def recorded_chains(written: Sequence[Written]) -> list[ClaimRow]:
    """Section 5: what the plain rule and ours make of recorded chains of thought, beside how they were counted."""
    flags = [one.right for one in written]
    rules = {
        "plain last number": [(LAST.findall(one.text) or [""])[-1].replace(",", "") for one in written],
        "flexible extractor": [flexible(one.text).answer or "" for one in written],
    }
    rows = [_row(COT, "as recorded", {"accuracy": _mean(flags), "right": sum(flags)})]
    for name, answers in rules.items():
        right = [_equal(answer, one.gold) for answer, one in zip(answers, written, strict=True)]
        agreed = sum(map(bool.__eq__, right, flags))
        rows.append(_row(COT, name, {"accuracy": _mean(right), "right": sum(right), "agrees with the record": agreed}))
    return rows


def recorded_programmes(written: Sequence[Written], sandbox: Sandbox) -> list[ClaimRow]:
    """Check C: running recorded programmes reproduces which were counted right, and which cannot be run."""
    answers = run_all([f"{one.text}\nanswer = ans\n" for one in written], sandbox)
    right = [answer is not None and _equal(answer, one.gold) for answer, one in zip(answers, written, strict=True)]
    values = {
        "accuracy": _mean(right),
        "agrees with the record": sum(found == one.right for found, one in zip(right, written, strict=True)),
        "without an answer": answers.count(None),
    }
    return [_row(POT, "run in the sandbox", values)]


def run_all(codes: Sequence[str], sandbox: Sandbox) -> list[str | None]:
    """The answer of each programme, in order; as many at once as the sandbox allows."""

    async def all_of_them() -> list[str | None]:
        outcomes = await asyncio.gather(*(sandbox.arun(code) for code in codes))
        return [value_of(outcome.value).answer for outcome in outcomes]

    return asyncio.run(all_of_them())


def _ladder(answers: Sequence[Sequence[str | None]], golds: Sequence[str], done: Sequence[Outcome]) -> dict[str, float]:
    right = [same(one[outcome.level], gold) for one, outcome, gold in zip(answers, done, golds, strict=True)]
    ended = [outcome.ended for outcome in done]
    stops = {
        f"stopped after {k}": float(sum(o.ended and o.asked == k for o in done)) for k in range(2, len(MODELS) + 1)
    }
    return {
        "accuracy": _mean(right),
        "calls": _mean(outcome.asked for outcome in done),
        "converged": sum(ended),
        "accuracy if converged": sum(map(bool.__and__, right, ended)) / max(1, sum(ended)),
        **stops,
    }


def _equal(one: str, other: str) -> bool:
    a, b = numbers.parse(one), numbers.parse(other)
    return a is not None and b is not None and numbers.equal(a, b)


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _row(data: str, condition: str, values: Mapping[str, float]) -> ClaimRow:
    return ClaimRow(condition=condition, data=data, seed=0, values={k: float(v) for k, v in values.items()})
