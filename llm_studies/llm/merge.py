"""The shards of one study, as one run."""

import shutil
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from common.errors import OperatorError
from common.registry.cards import write_whole
from llm_studies.llm import folder as files
from llm_studies.llm.journal import Journal, lines, resting


async def merge(runs: Sequence[Path], out: Path) -> int:
    """Copy every row of the runs' journals into the new run ``out``; rows copied.

    Rows that failed and calls that two shards paid for are kept, so that the sums stay true; of two replies to one call
    the first counts, in the order of ``runs``. ``out`` is there whole or not at all: it is made beside its place, and
    then renamed. Raises OperatorError when they are not different runs of one study, one of them is still running, or
    ``out`` holds anything.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OperatorError(f"{out} holds {'a run' if files.journals(out) else 'files'} already; name a new folder")
    _belong_together(runs)
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(resting(run))
        beside = out.absolute().parent / f".{out.absolute().name}.{uuid.uuid4().hex[:8]}"
        try:
            beside.mkdir(parents=True)
            copied = await _copied(runs, beside)
            beside.rename(out)
        except OSError as error:
            raise OperatorError(f"{out} cannot be made ({error.strerror}); name another folder") from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return copied


def _belong_together(runs: Sequence[Path]) -> None:
    seen: dict[Path, Path] = {}
    for run in runs:
        if not files.journals(run):
            raise OperatorError(f"{run}: no journal in it (calls/*.jsonl); name the folder of a run")
        if (same := seen.setdefault(run.resolve(), run)) is not run:
            raise OperatorError(f"{run} and {same} are one folder; name each shard once")
        if _study(run) != _study(runs[0]):
            raise OperatorError(f"{run} and {runs[0]} are runs of different studies; merge shards of one")


def _study(run: Path) -> bytes:
    return (run / files.STUDY).read_bytes() if (run / files.STUDY).exists() else b""


async def _copied(runs: Sequence[Path], out: Path) -> int:
    for name in (files.STUDY, files.PROBE):
        if (runs[0] / name).exists():
            (out / name).write_bytes((runs[0] / name).read_bytes())
    _programmes(runs, out)
    copied = 0
    journal = Journal(out)
    try:
        for run in runs:
            for path in files.journals(run):
                for row, _, _ in lines(path):
                    journal.append(row)
                    copied += 1
    finally:
        await journal.aclose()
    return copied


def _programmes(runs: Sequence[Path], out: Path) -> None:
    """What became of programmes; of two outcomes of one the first counts, as of two replies."""
    kept = [run / files.PROGRAMMES for run in runs if (run / files.PROGRAMMES).exists()]
    if kept:
        whole = [line for file in kept for line in file.read_bytes().split(b"\n")[:-1]]
        write_whole(out / files.PROGRAMMES, b"".join(line + b"\n" for line in dict.fromkeys(whole)))
