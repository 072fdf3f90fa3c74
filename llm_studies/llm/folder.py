"""The files of one study's run: what it is, what was found out before, and the journals."""

from pathlib import Path
from typing import TypeVar

import msgspec

from common.errors import OperatorError
from common.registry.cards import render, write_whole
from contracts._base import Record

T = TypeVar("T")

STUDY, PROBE, PLAN, CALLS = "study.toml", "probe.json", "plan.json", "calls"
PROGRAMMES = "programmes.jsonl"
"""What became of programmes, one a line, each run once: ``bloomwise.programmes``."""


def claim(folder: Path, study: str) -> None:
    """Make ``folder`` the run of the resolved study file ``study``, or resume it.

    Raises OperatorError when it is the run of another study, or cannot be written.
    """
    file = folder / STUDY
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            write_whole(file, study.encode())
        elif file.read_bytes() != study.encode():
            raise OperatorError(f"{folder} is the run of another study, see {file}; name another folder")
    except OSError as error:
        raise OperatorError(f"{folder} cannot be written ({error.strerror}); name another folder") from error


def save(folder: Path, name: str, record: Record) -> None:
    """Write a record, in one step. Raises OperatorError when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, render(record))
    except OSError as error:
        raise OperatorError(
            f"{folder / name} cannot be written ({error.strerror}); make room or name another folder"
        ) from error


def saved(folder: Path, name: str, kind: type[T]) -> T | None:
    """The record of that name, None when there is none. Raises OperatorError when it does not decode."""
    try:
        return msgspec.json.decode((folder / name).read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise OperatorError(f"{folder / name}: {error}; remove it, it is made anew") from error


def journals(folder: Path) -> tuple[Path, ...]:
    """The journal files of a run folder, by name; of a bare folder of journals as well."""
    place = folder / CALLS if (folder / CALLS).is_dir() else folder
    return tuple(sorted(place.glob("*.jsonl")))
