"""TOML files that a flag or a setting names, read into Records."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from common.errors import OperatorError
from contracts._base import Record

C = TypeVar("C", bound=Record)


def read_file(file: Path, kind: type[C], flag: str) -> C:
    """The TOML file that a flag names, as a valid ``kind``. Raises OperatorError naming flag, file and field."""
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OperatorError(f"{flag} {file}: no such file; name an existing one") from None
    except OSError as error:
        raise OperatorError(f"{flag} {file}: cannot be read ({error.strerror}); name a file that can") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OperatorError(f"{flag} {file}: not a TOML file: {error}; correct the file") from None
    return check(raw, kind, f"{flag} {file}")


def check(raw: Any, kind: type[C], source: str) -> C:
    """``raw`` as a valid ``kind``. Raises OperatorError naming the source, the field and the field's rule."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        field = where.strip("`.") or "the top level"
        raise OperatorError(f"{source}: {field}: {what}; correct it, see `--help` for all fields") from None
