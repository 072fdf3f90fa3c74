"""Data parallelism under torchrun; one process is the default and needs none of it.

Gradients are averaged after the backward pass instead of wrapping the model: a step may then call any method of it,
train any part of it, and accumulate, and the sum is the same on every process.
"""

import importlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from common.errors import OperatorError
from common.training.run import Run, create, open_run, same_data
from contracts._base import Record
from contracts.models import DataSource


class World:
    """This process among all."""

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | None = None) -> None:
        self.rank, self.size, self.device = rank, size, device or torch.device("cpu")

    @property
    def leads(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share_text(self, text: str) -> str:
        """The leader's text, at most 4096 bytes, on every process."""
        if self.size == 1:
            return text
        content = torch.zeros(4096, dtype=torch.uint8, device=self.device)
        encoded = text.encode()
        content[: len(encoded)] = torch.tensor(list(encoded), dtype=torch.uint8)
        dist.broadcast(content, 0)
        return bytes(content.cpu().tolist()).rstrip(b"\0").decode()

    def share_number(self, number: float) -> float:
        """The leader's number, on every process; also a barrier."""
        if self.size == 1:
            return number
        value = torch.tensor(number, dtype=torch.float64, device=self.device)
        dist.broadcast(value, 0)
        return float(value)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by the sum over processes, in one exchange; a missing one counts as zero."""
        if self.size == 1:
            return
        with torch.no_grad():
            trained = [p for p in parameters if p.requires_grad]
            flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained])
            dist.all_reduce(flat)
            for p, part in zip(trained, flat.split([p.numel() for p in trained]), strict=True):
                p.grad = part.view_as(p)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Every process's tensor of this shape, by rank, on the CPU."""
        if self.size == 1:
            return [tensor]
        parts = [torch.empty_like(tensor, device=self.device) for _ in range(self.size)]
        dist.all_gather(parts, tensor.to(self.device))
        return [part.cpu() for part in parts]

    def same_tensors(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the leader's values."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)


@contextmanager
def world(device: str) -> Iterator[World]:
    """Join torchrun's processes when there are any; nccl on ``cuda``, gloo on ``cpu``.

    Raises OperatorError when ``cuda`` is asked for and absent.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise OperatorError("device is cuda, but torch sees no CUDA device; check the driver, or set --device cpu")
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(device=torch.device(device))
        return
    place = torch.device("cpu" if device == "cpu" else f"cuda:{os.environ.get('LOCAL_RANK', '0')}")
    if place.type == "cuda":
        torch.cuda.set_device(place)
    # Its functions have the group as a default argument. Imported later (an optimiser does, through torch._dynamo),
    # they would keep the group, and its threads would run into the end of the interpreter, which aborts the process.
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group("nccl" if place.type == "cuda" else "gloo")
    try:
        yield World(dist.get_rank(), size, place)
        # Nobody closes its connections while another still waits for its last exchange.
        dist.barrier()
    finally:
        dist.destroy_process_group()


def shared_run(
    here: World,
    resume: Path | None,
    out: Path,
    *,
    system: str,
    command: str,
    config: Record,
    seed: int,
    data: tuple[DataSource, ...],
) -> Run:
    """The run ``resume``, or a new one that the leader makes under ``out``; the same folder on every process.

    Raises OperatorError as ``open_run`` and ``create`` do, and for a run that saw other data.
    """
    if resume is not None:
        run = open_run(resume, system)
        same_data(run, data)
        return run
    made = None
    if here.leads:
        made = create(out, system=system, command=command, config=config, seed=seed, data=data)
    return open_run(Path(here.share_text(str(made.folder) if made else "")), system)
