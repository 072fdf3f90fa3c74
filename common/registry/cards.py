"""Reading and writing the JSON records of a repository: cards and aliases."""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from common.errors import OperatorError

T = TypeVar("T")


def read_record(path: Path, kind: type[T], remedy: str) -> T:
    """Decode a JSON file. Raises OperatorError that names the file, the field and the remedy."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        raise OperatorError(f"{path} is missing; {remedy}") from None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise OperatorError(f"{path}: {error}; {remedy}") from error


def render(record: Any) -> bytes:
    """Indented JSON with a final newline, for files that people read and compare."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def sha256(path: Path, remedy: str) -> str:
    """Lower-case hex digest of a file. Raises OperatorError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise OperatorError(f"{path} cannot be read ({error.strerror}); {remedy}") from error


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file in one step: whoever reads it sees the old bytes or the new ones. Survives a power cut."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)  # mkstemp makes it private; Triton may run as another user
        os.replace(name, path)  # noqa: PTH105
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


DRAFT: dict[str, Any] = {"version": 1, "graph_sha256": "0" * 64, "golden_sha256": "0" * 64}
"""The fields of a card that publishing fills in: ``ModelCard(**DRAFT, name=...)`` is a draft."""
