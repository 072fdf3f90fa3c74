"""Checkpoints: one safetensors file each, with the scalars as JSON in its header. No pickle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from common.errors import OperatorError
from common.registry.cards import write_whole

SCALARS = "scalars"
SUFFIX = ".safetensors"
T = TypeVar("T")


class Checkpoint(NamedTuple):
    tensors: dict[str, Tensor]
    scalars: bytes
    """JSON."""

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors under ``name.``, without that prefix."""
        start = f"{name}."
        return {key.removeprefix(start): tensor for key, tensor in self.tensors.items() if key.startswith(start)}

    def record(self, kind: type[T]) -> T:
        """The scalars as ``kind``."""
        return msgspec.json.decode(self.scalars, type=kind)


def write(path: Path, parts: Mapping[str, Mapping[str, Tensor]], scalars: Any) -> None:
    """Write ``<part>.<name>`` tensors and scalars in one step: a reader sees a whole file or none."""
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().contiguous()
        for part, named in parts.items()
        for name, tensor in named.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, save(tensors, {SCALARS: msgspec.json.encode(scalars).decode()}))


def read(path: Path) -> Checkpoint:
    """Tensors on the CPU. Raises OperatorError when the file is missing or not a whole checkpoint."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            return Checkpoint({key: file.get_tensor(key) for key in file.keys()}, header[SCALARS].encode())  # noqa: SIM118
    except (OSError, SafetensorError, KeyError) as error:
        raise OperatorError(f"{path}: not a whole checkpoint ({error}); name another run, or train again") from error


def step_path(folder: Path, step: int) -> Path:
    """Where the resumable checkpoint of a step lies."""
    return folder / f"step-{step:010d}{SUFFIX}"


def latest(folder: Path) -> Checkpoint | None:
    """The newest whole resumable checkpoint; a damaged newer one is passed over. None when there is none."""
    for path in sorted(folder.glob(f"step-*{SUFFIX}"), reverse=True):
        try:
            return read(path)
        except OperatorError:
            continue
    return None


def prune(folder: Path, keep: int) -> None:
    """Remove all resumable checkpoints but the newest ``keep``."""
    for path in sorted(folder.glob(f"step-*{SUFFIX}"))[:-keep]:
        path.unlink()


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as ``<parameter number>.<name>``. Options are not kept: who resumes builds them again."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{name}": torch.as_tensor(value) for i, values in state.items() for name, value in values.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put a kept state into a freshly built optimiser over the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
