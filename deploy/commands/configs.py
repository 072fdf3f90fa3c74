"""A system's configuration: a packaged or own TOML file, then flags, then the Struct's own rules."""

import importlib.resources
from pathlib import Path

from common.errors import OperatorError
from common.system import System, load
from common.toml import read_file
from contracts._base import Record


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
