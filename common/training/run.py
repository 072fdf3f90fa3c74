"""The folder of one training run: configuration, manifest, events, checkpoints, metrics."""

import importlib.metadata
import json
import platform
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from common.errors import OperatorError
from common.registry.cards import read_record, render, write_whole
from contracts._base import Record
from contracts.models import DataSource
from contracts.runs import RunManifest

MANIFEST, CONFIG, EVENTS, METRICS, CHECKPOINTS = (
    "run.json",
    "config.toml",
    "events.jsonl",
    "metrics.json",
    "checkpoints",
)


class Run:
    """A run folder and its manifest as last written."""

    def __init__(self, folder: Path, manifest: RunManifest) -> None:
        self.folder, self.manifest = folder, manifest

    @property
    def checkpoints(self) -> Path:
        return self.folder / CHECKPOINTS

    def update(self, **changes: Any) -> RunManifest:
        """Replace fields of the manifest, on disk in one step."""
        self.manifest = msgspec.structs.replace(self.manifest, **changes)
        write_whole(self.folder / MANIFEST, render(self.manifest))
        return self.manifest


def create(out: Path, *, system: str, command: str, config: Record, seed: int, data: tuple[DataSource, ...]) -> Run:
    """A new folder ``out/system/id``. Raises OperatorError when it cannot be made."""
    now = datetime.now(UTC)
    name = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    folder = out / system / name
    settings = msgspec.json.decode(msgspec.json.encode(config))  # as it will be read back
    manifest = RunManifest(
        id=name,
        system=system,
        command=command,
        created=now.isoformat(timespec="seconds"),
        status="running",
        config=settings,
        data=data,
        seed=seed,
        software=software(),
    )
    try:
        (folder / CHECKPOINTS).mkdir(parents=True)
        (folder / CONFIG).write_text(toml(settings))
    except OSError as error:
        raise OperatorError(f"{folder} cannot be made ({error.strerror}); name another folder with --out") from error
    run = Run(folder, manifest)
    run.update()
    return run


def open_run(folder: Path, system: str) -> Run:
    """An existing run. Raises OperatorError when its manifest is missing, does not decode, or is of another system."""
    manifest = read_record(folder / MANIFEST, RunManifest, "name the folder that `kithara train` printed")
    if manifest.system != system:
        raise OperatorError(
            f"{folder / MANIFEST}: system is {manifest.system!r}, not {system!r}; name a run of {system}"
        )
    return Run(folder, manifest)


def same_data(run: Run, data: tuple[DataSource, ...]) -> None:
    """Raises OperatorError when the run saw other files than these."""
    now = {source.name: source.sha256 for source in data}
    for source in run.manifest.data:
        if now.get(source.name) != source.sha256:
            raise OperatorError(f"{source.name} is not the file that run {run.manifest.id} saw; give the same --data")


def software() -> dict[str, str]:
    """Versions that can change a number."""
    packages = ("kithara", "torch", "numpy")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}


def toml(values: dict[str, Any], prefix: str = "") -> str:
    """TOML of nested dicts of strings, numbers, booleans and lists, also of dicts; None is left out: TOML has none."""
    lines = [f"{key} = {_inline(v)}" for key, v in values.items() if v is not None and not isinstance(v, dict)]
    for key, inner in values.items():
        if isinstance(inner, dict):
            lines += ["", f"[{prefix}{key}]", toml(inner, f"{prefix}{key}.").rstrip("\n")]
    return "\n".join(lines).lstrip("\n") + "\n"


def _inline(value: Any) -> str:
    """On one line; a string, number or boolean is written as in JSON."""
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_inline(v)}' for key, v in value.items() if v is not None)}}}"
    return json.dumps(value)
