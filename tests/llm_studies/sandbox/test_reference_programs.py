"""GSM-hard's reference programmes reproduce its golds (bloomwise.md, section 10 C). Needs the data set."""

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llm_studies.sandbox.run import Sandbox

FOLDER = Path(os.environ.get("KITHARA_DATA", "")) / "math_word_problems"
needs_data = pytest.mark.skipif(
    not (FOLDER / "gsm_hard_programs.jsonl").is_file(), reason="set KITHARA_DATA to a folder with math_word_problems"
)


def rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]


def agreeing(sandbox: Sandbox, step: int) -> tuple[int, int]:
    """Programmes whose answer is the gold, and programmes; equality as in section 5, on the integer path first."""
    programs, golds = (
        rows("gsm_hard_programs.jsonl")[::step],
        {row["id"]: row["gold"] for row in rows("gsm_hard.jsonl")},
    )
    with ThreadPoolExecutor(2) as pool:
        outcomes = pool.map(lambda row: sandbox.run(row["code"] + "\nanswer = solution()"), programs)
        right = [
            outcome.status == "ok"
            and math.isclose(float(outcome.value), float(golds[row["id"]]), rel_tol=1e-6, abs_tol=1e-3)  # pyright: ignore[reportArgumentType]
            for row, outcome in zip(programs, outcomes, strict=True)
        ]
    return sum(right), len(right)


@needs_data
def test_a_sample_of_the_reference_programmes(sandbox: Sandbox) -> None:
    right, asked = agreeing(sandbox, 14)
    assert right == asked == 95


@needs_data
@pytest.mark.slow
def test_every_reference_programme(sandbox: Sandbox) -> None:
    assert agreeing(sandbox, 1) == (1319, 1319)
