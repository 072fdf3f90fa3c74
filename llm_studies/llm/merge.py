"""The shards of one study, as one run."""

from collections.abc import Sequence
from pathlib import Path

from common.errors import OperatorError
from llm_studies.llm import folder as files
from llm_studies.llm.journal import Journal, lines


async def merge(runs: Sequence[Path], out: Path) -> int:
    """Copy every row of the runs' journals into the new run ``out``; rows copied.

    Rows that failed and calls that two shards paid for are kept, so that the sums stay true; of two replies to one call
    the first counts, in the order of ``runs``. Raises OperatorError when they are not runs of one study, one of them is
    still running, or ``out`` holds a journal.
    """
    if files.journals(out):
        raise OperatorError(f"{out} holds a run already; name a new folder")
    for run in runs:
        if not files.journals(run):
            raise OperatorError(f"{run}: no journal in it (calls/*.jsonl); name the folder of a run")
    studies = {run: (run / files.STUDY).read_bytes() if (run / files.STUDY).exists() else b"" for run in runs}
    for run, study in studies.items():
        if study != studies[runs[0]]:
            raise OperatorError(f"{run} and {runs[0]} are runs of different studies; merge shards of one")
    out.mkdir(parents=True, exist_ok=True)
    for name in (files.STUDY, files.PROBE):
        if (runs[0] / name).exists():
            (out / name).write_bytes((runs[0] / name).read_bytes())
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
