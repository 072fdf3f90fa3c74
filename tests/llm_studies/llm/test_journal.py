import hashlib
from pathlib import Path

import pytest

from common.errors import OperatorError
from contracts.llm import CallRow, Reply, Usage
from llm_studies.llm.journal import Index, Journal

USAGE = Usage(prompt_tokens=3, completion_tokens=2)


def row(name: str, *, text: str | None = None, error: str | None = None, reused: bool = False) -> CallRow:
    reply = None if error else Reply(text=text or name, finish="stop", usage=USAGE)
    return CallRow(key=hashlib.sha256(name.encode()).hexdigest(), reply=reply, error=error, reused=reused)


async def written(folder: Path, *rows: CallRow) -> Path:
    journal = Journal(folder)
    for one in rows:
        journal.append(one)
    await journal.aclose()
    return folder / "calls" / "0-of-1.jsonl"


async def test_what_was_written_is_found_by_this_process_and_the_next(tmp_path: Path) -> None:
    rows = [row(f"é{i}\n") for i in range(50)]
    journal = Journal(tmp_path)
    for one in rows:
        journal.append(one)
    assert [journal.find(one.key) for one in rows] == rows
    await journal.aclose()
    with Index.of(tmp_path) as index:
        assert [index.find(one.key) for one in rows] == rows
        assert index.find("0" * 64) is None
        assert len(index) == 50


async def test_a_row_is_on_file_before_anything_is_closed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(row("a"))
    with Index.of(tmp_path) as index:
        assert index.find(row("a").key) == row("a")
    await journal.aclose()


async def test_errors_are_kept_and_never_found(tmp_path: Path) -> None:
    path = await written(tmp_path, row("a", error="quota"), row("b"))
    assert "quota" in path.read_text()
    with Index.of(tmp_path) as index:
        assert row("a").key not in index
        assert row("b").key in index


async def test_of_two_replies_to_one_call_the_first_counts(tmp_path: Path) -> None:
    await written(tmp_path, row("a", text="first"), row("a", text="second"))
    with Index.of(tmp_path) as index:
        assert index.find(row("a").key) == row("a", text="first")


@pytest.mark.parametrize("cut", [1, 2, 40])
async def test_a_torn_last_line_is_cut_off_and_its_call_asked_again(tmp_path: Path, cut: int) -> None:
    path = await written(tmp_path, row("a"), row("b"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with Index.of(tmp_path) as index:  # a reader leaves the file alone
        assert row("b").key not in index
    assert path.read_bytes() == whole[:-cut]
    await written(tmp_path, row("b"))
    assert path.read_bytes() == whole


async def test_a_last_line_that_a_power_cut_left_as_zeros_is_cut_off(tmp_path: Path) -> None:
    path = await written(tmp_path, row("a"))
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0" * 100)
    await written(tmp_path)
    assert path.read_bytes() == whole


async def test_a_broken_line_before_the_last_is_named(tmp_path: Path) -> None:
    path = await written(tmp_path, row("a"), row("b"), row("c"))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{nonsense\n" + lines[2])
    with pytest.raises(OperatorError, match=r"0-of-1\.jsonl, line 2"):
        Journal(tmp_path)
    with pytest.raises(OperatorError, match=r"0-of-1\.jsonl, line 2"):
        Index.of(tmp_path)


async def test_a_second_writer_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with pytest.raises(OperatorError, match="another process is running this study"):
        Journal(tmp_path, (1, 2))
    await journal.aclose()
    await Journal(tmp_path).aclose()


async def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await written(tmp_path, row("a"))
    whole = path.read_bytes()
    journal = Journal(tmp_path)
    import os

    write = os.write
    monkeypatch.setattr("llm_studies.llm.journal.os.write", lambda handle, line: write(handle, line[:10]))
    with pytest.raises(OperatorError, match="make room"):
        journal.append(row("b"))
    await journal.aclose()
    assert path.read_bytes() == whole


async def test_only_what_was_paid_is_added_up(tmp_path: Path) -> None:
    await written(tmp_path, row("a"), row("b", reused=True), row("c", error="no"), row("d"))
    journal = Journal(tmp_path)
    assert (journal.paid.calls, journal.paid.usage) == (2, Usage(prompt_tokens=6, completion_tokens=4))
    await journal.aclose()


def test_a_folder_without_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="no journal in it"):
        Index.of(tmp_path)
