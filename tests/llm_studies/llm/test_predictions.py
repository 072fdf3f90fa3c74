"""``predictions.jsonl``: the same replies give the same bytes, whole or not at all."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from common.errors import OperatorError
from contracts._base import Record
from contracts.llm import Profile, Reply, Usage
from llm_studies.llm import predictions, run
from llm_studies.llm.ask import Ask, Missing
from llm_studies.llm.folder import claim


class Said(Record, frozen=True, kw_only=True):
    question: int
    text: str


@pytest.fixture
def tabled(questions):
    """The study of these tests, with rows."""

    class Tabled(questions):
        async def rows(self, replay: Ask) -> AsyncIterator[Said]:
            for i in range(self.count):
                yield Said(question=i, text=(await replay(self.request(f"question {i}"), 0)).text)

    return Tabled


async def test_one_line_a_row_in_the_studys_order(profile: Profile, tabled, tmp_path: Path) -> None:
    await run.execute(tabled(20), tmp_path, profile)
    before = {file.name for file in tmp_path.iterdir()}
    await predictions.write(tabled(20), tmp_path, profile)
    file = tmp_path / "predictions.jsonl"
    assert {one.name for one in tmp_path.iterdir()} - before == {file.name}
    assert file.stat().st_mode & 0o777 == 0o644
    written = file.read_bytes()
    lines = [msgspec.json.decode(line, type=Said) for line in written.splitlines()]
    report = await run.report(tabled(20), tmp_path, profile)
    assert [(f"q{line.question}", line.text) for line in lines] == [(row[0], row[2]) for row in report.tables[0].rows]
    assert written.endswith(b"\n")
    await predictions.write(tabled(20), tmp_path, profile)
    assert file.read_bytes() == written


async def test_shards_merged_are_the_unsharded_bytes(profile: Profile, tabled, tmp_path: Path) -> None:
    names = ["whole", "part0", "part1", "part2"]
    for name, shard in zip(names, [(0, 1), (0, 3), (1, 3), (2, 3)], strict=True):
        claim(tmp_path / name, "a = 1\n")
        await run.execute(tabled(30), tmp_path / name, profile, shard=shard)
    await run.merge([tmp_path / name for name in reversed(names[1:])], tmp_path / "merged")
    for name in ("whole", "merged"):
        await predictions.write(tabled(30), tmp_path / name, profile)
    written = [(tmp_path / name / predictions.PREDICTIONS).read_bytes() for name in ("whole", "merged")]
    assert written[0] == written[1]
    assert written[0].count(b"\n") == 30


async def test_a_missing_reply_leaves_the_last_table_as_it_was(profile: Profile, tabled, tmp_path: Path) -> None:
    await run.execute(tabled(3), tmp_path, profile)
    await predictions.write(tabled(3), tmp_path, profile)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    with pytest.raises(Missing):
        await predictions.write(tabled(4), tmp_path, profile)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()} == before


async def test_a_study_without_rows_has_no_table(profile: Profile, questions, tmp_path: Path) -> None:
    async def ask(request: object, repeat: int = 0) -> Reply:
        return Reply(text="x", finish="stop", usage=Usage(prompt_tokens=1, completion_tokens=1))

    await run.execute(questions(2), tmp_path, profile, client=ask)
    await predictions.write(questions(2), tmp_path, profile)
    assert not (tmp_path / predictions.PREDICTIONS).exists()


async def test_a_folder_that_cannot_be_written_is_named(profile: Profile, tabled, tmp_path: Path) -> None:
    await run.execute(tabled(2), tmp_path, profile)
    (tmp_path / predictions.PREDICTIONS).mkdir()
    with pytest.raises(OperatorError, match="make room or name another folder"):
        await predictions.write(tabled(2), tmp_path, profile)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["calls", "plan.json", "predictions.jsonl", "probe.json"]
