"""Predictions of a study as ``predictions.jsonl``, one a line in the study's order: the same replies, the same bytes.

Raw replies stay in the journal, texts of items in their data set: what is written here may be passed on.
"""

import os
import tempfile
from pathlib import Path

import msgspec

from common.errors import OperatorError
from common.registry.cards import sync
from contracts.llm import Profile
from llm_studies.llm.journal import Index
from llm_studies.llm.replay import Replay
from llm_studies.llm.study import Predicting, Study, keep

PREDICTIONS = "predictions.jsonl"


async def write(study: Study, folder: Path, profile: Profile) -> None:
    """Write the table of a study that has one, line by line, and put it in place when it is whole.

    Raises Missing where a reply was never given, OperatorError when the folder cannot be read or written.
    """
    if not isinstance(study, Predicting):
        return
    with Index.of(folder) as index:
        keep(study, folder)
        try:
            await _write(study, Replay(profile, index), folder / PREDICTIONS)
        except OSError as error:
            raise OperatorError(
                f"{folder / PREDICTIONS} cannot be written ({error.strerror}); make room or name another folder"
            ) from error


async def _write(study: Predicting, replay: Replay, path: Path) -> None:
    encoder = msgspec.json.Encoder()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            async for row in study.rows(replay):
                file.write(encoder.encode(row) + b"\n")
        part.chmod(0o644)  # as the report beside it
        sync(part)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync(path.parent)
