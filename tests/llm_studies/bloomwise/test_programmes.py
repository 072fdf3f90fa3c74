"""A report is a function of the replies and of what programmes once came to: nothing is run for it a second time."""

import hashlib
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import OperatorError
from contracts.llm import ChatRequest, Profile, Reply, Usage
from contracts.studies import StudyReport
from llm_studies.bloomwise import programmes as module
from llm_studies.bloomwise.config import Bootstrap, Config, Items
from llm_studies.bloomwise.ladder import Ladder
from llm_studies.bloomwise.programmes import Programmes, kept, outcome
from llm_studies.bloomwise.study import make
from llm_studies.llm import predictions, run
from llm_studies.llm.ask import Missing
from llm_studies.llm.folder import PROGRAMMES
from llm_studies.llm.partial import parts
from llm_studies.sandbox.run import Outcome
from llm_studies.simulate.ask import SimulatedAsk
from llm_studies.simulate.config import Solver
from llm_studies.simulate.problems import of_study
from llm_studies.simulate.solver import SimulatedSolver

PROFILE = Profile(base_url="http://nowhere/v1", model="m", concurrency=2)
CONFIG = Config(
    data=(Items(items=6),),
    ladders={"main": Ladder(mode="programme", levels=("applying", "analyzing"), repair=1)},
    methods=("pot",),
    bootstrap=Bootstrap(rounds=100),
    profile=PROFILE,
)


class Fake:
    """A sandbox in which every programme comes to one end."""

    def __init__(self, end: Outcome) -> None:
        self.end = end
        self.codes: list[str] = []

    def __call__(self) -> "Fake":
        return self

    async def arun(self, code: str) -> Outcome:
        self.codes.append(code)
        return self.end


def late(monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake(Outcome("timeout", None, "it ran longer than 5 s", 5.0))
    monkeypatch.setattr(module, "Sandbox", fake)
    return fake


def solver() -> SimulatedAsk:
    return SimulatedAsk(SimulatedSolver(Solver(none=0.3), of_study(CONFIG, None)))


async def ran(folder: Path, shard: tuple[int, int] = (0, 1)) -> None:
    done = await run.execute(make(CONFIG, None), folder, PROFILE, client=solver(), shard=shard)
    assert done.complete


async def reported(folder: Path) -> tuple[bytes, bytes]:
    report: StudyReport = await run.report(make(CONFIG, None), folder, PROFILE)
    await predictions.write(make(CONFIG, None), folder, PROFILE)
    return msgspec.json.encode(report), (folder / predictions.PREDICTIONS).read_bytes()


async def test_a_report_does_not_depend_on_the_sandbox_it_is_made_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ran(tmp_path)
    before = (tmp_path / PROGRAMMES).read_bytes()
    first = await reported(tmp_path)
    slow = late(monkeypatch)
    assert await reported(tmp_path) == first
    assert (slow.codes, (tmp_path / PROGRAMMES).read_bytes()) == ([], before)
    (tmp_path / PROGRAMMES).unlink()
    with pytest.raises(Missing):  # every programme is repaired now, which nobody asked for
        await reported(tmp_path)


async def test_nor_does_what_can_be_reported_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await ran(tmp_path)
    slow = late(monkeypatch)
    (part,) = await parts(make(CONFIG, None), tmp_path, PROFILE)
    assert (part.items, part.of, slow.codes) == (6, 6, [])


async def test_what_a_report_runs_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await ran(tmp_path)
    first, (line, *others) = await reported(tmp_path), (tmp_path / PROGRAMMES).read_bytes().splitlines(keepends=True)
    (tmp_path / PROGRAMMES).write_bytes(b"".join(others) + b'{"torn')
    assert await reported(tmp_path) == first
    assert (tmp_path / PROGRAMMES).read_bytes() == b"".join(others) + line
    late(monkeypatch)
    assert await reported(tmp_path) == first


async def test_a_resumed_run_goes_on_from_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a programme that is late now would ask for a repair that the first run did not."""
    await ran(tmp_path)
    late(monkeypatch)
    done = await run.execute(make(CONFIG, None), tmp_path, PROFILE, client=solver())
    assert (done.complete, done.paid) == (True, 0)


async def test_merged_shards_give_the_report_of_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await ran(tmp_path / "whole")
    for i in range(2):
        await ran(tmp_path / str(i), (i, 2))
    await run.merge([tmp_path / "0", tmp_path / "1"], tmp_path / "merged")
    whole = await reported(tmp_path / "whole")
    slow = late(monkeypatch)
    assert await reported(tmp_path / "merged") == whole
    assert slow.codes == []


async def test_of_two_outcomes_the_first_run_s_counts(tmp_path: Path) -> None:
    """A programme may have been late in one shard alone; what the merged report says must not hang on the reader."""
    code = "answer = 1"
    key = hashlib.sha256(code.encode()).hexdigest()
    for name, value in (("0", 3), ("1", 4)):
        await ran(tmp_path / name)
        (tmp_path / name / PROGRAMMES).write_bytes(msgspec.json.encode(kept(key, Outcome("ok", value))) + b"\n")
    await run.merge([tmp_path / "0", tmp_path / "1"], tmp_path / "merged")
    programmes = Programmes()
    programmes.keep(tmp_path / "merged")
    assert await programmes(code) == Outcome("ok", 3)


VALUES = st.one_of(
    st.integers(),
    st.integers(10**900, 10**999),
    st.floats(allow_nan=False, allow_infinity=False),
    st.fractions(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.text(),
)


@given(VALUES)
def test_values_come_back_exact(value: int | float | Fraction | Decimal | str) -> None:
    row = kept("00", Outcome("ok", value, "", 0.3))
    back = outcome(msgspec.json.decode(msgspec.json.encode(row), type=module.Kept))
    assert (type(back.value), repr(back.value), back.status) == (type(value), repr(value), "ok")


@given(st.text())
def test_what_the_model_was_shown_comes_back(detail: str) -> None:
    row = kept("00", Outcome("exception", None, detail, 0.3))
    back = outcome(msgspec.json.decode(msgspec.json.encode(row), type=module.Kept))
    assert back == Outcome("exception", None, detail)


async def test_another_policy_runs_programmes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(Outcome("ok", 7))
    monkeypatch.setattr(module, "Sandbox", fake)
    first = Programmes()
    first.keep(tmp_path)
    assert (await first("answer = 7")).value == 7
    again = Programmes()
    again.keep(tmp_path)
    assert (await again("answer = 7")).value == 7
    assert len(fake.codes) == 1
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    other = Programmes()
    other.keep(tmp_path)
    await other("answer = 7")
    assert len(fake.codes) == 2


@pytest.mark.parametrize("line", ["{}", '{"code":"0","policy":1,"status":"ok","kind":"int","text":"x"}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / PROGRAMMES).write_text(line + "\n")
    with pytest.raises(OperatorError, match=r"programmes\.jsonl, line 1: .*run again"):
        Programmes().keep(tmp_path)


async def test_a_plan_of_a_resumed_run_reads_what_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await ran(tmp_path)
    slow = late(monkeypatch)
    ahead = await run.plan(make(CONFIG, None), PROFILE, folder=tmp_path)
    assert (ahead.calls - ahead.known, slow.codes) == (0, [])


class Once:
    """Answers every request with one programme."""

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        text = "```python\nanswer = 1\n```"
        return Reply(text=text, finish="stop", usage=Usage(prompt_tokens=1, completion_tokens=1))


async def test_one_programme_of_many_jobs_has_one_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Sandbox", Fake(Outcome("ok", 1)))
    await run.execute(make(CONFIG, None), tmp_path, PROFILE, client=Once())
    assert len((tmp_path / PROGRAMMES).read_bytes().splitlines()) == 1
