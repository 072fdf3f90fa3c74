"""A system's configuration: a packaged or own TOML file, then flags, then the Struct's own rules."""

import importlib.resources
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from common.errors import OperatorError
from common.system import System, load
from contracts._base import Record

C = TypeVar("C", bound=Record)


def packaged(system: System) -> dict[str, Path]:
    """The system's own configurations by name (``tiny``, ``starter``, ``paper``)."""
    package = system.config.partition(":")[0].rpartition(".")[0]
    folder = Path(str(importlib.resources.files(package))) / "configs"
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def read(system: System, name: str) -> Record:
    """The configuration ``name``: a packaged one, or a file. Raises OperatorError naming file, field and remedy."""
    known = packaged(system)
    file = known.get(name, Path(name))
    if not file.is_file():
        raise OperatorError(f"--config {name}: no such file, and {system.name} has only {', '.join(known)}; name one")
    return read_file(file, load(system.config), "--config")


def read_file(file: Path, kind: type[C], flag: str) -> C:
    """The TOML file that a flag names, as a valid ``kind``. Raises OperatorError naming flag, file and field."""
    try:
        raw = tomllib.loads(file.read_text())
    except FileNotFoundError:
        raise OperatorError(f"{flag} {file}: no such file; name an existing one") from None
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
