"""A plain training loop: phases of epochs of steps, selection on validation, exact resume after a kill."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from common.errors import OperatorError
from common.training import checkpoint, seeding
from common.training.distributed import World
from common.training.events import Events
from common.training.run import EVENTS, Run
from contracts._base import Record
from contracts.models import Metric
from contracts.runs import CheckpointSaved, EpochEnded, PhaseStarted, RunFinished, RunStarted, StepLogged, TrainingEvent

KEEP = 2
"""Resumable checkpoints that stay: the newest, and one more in case that one is damaged."""
LOSS = "loss"
Schedule = Literal["constant", "cosine"]


class Sampler(Protocol):
    """What an epoch is made of: a function of its number alone, so that a position is two numbers."""

    def __len__(self) -> int:
        """Batches per epoch."""
        ...

    def batches(self, epoch: int, start: int = 0) -> Iterator[Tensor]:
        """The batches of an epoch from number ``start`` on; int64 (rows,), whole for every process."""
        ...


class Selection(NamedTuple):
    """Reads the validation split; the figure ``name`` of what ``measure`` returns decides, larger is better."""

    measure: Callable[[], dict[str, float]]
    name: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One objective over one set of parameters; starts from the best validated model of the phase before."""

    name: str
    epochs: int
    lr: float
    trained: Sequence[nn.Parameter]
    """All other parameters of the model are frozen."""
    optimizer: Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer]
    """Called once per phase: no moment outlives its objective."""
    step: Callable[[Tensor], dict[str, Tensor]]
    """Row numbers, int64 (b,) -> scalars that are means over these rows; ``loss`` is differentiated."""
    sampler: Sampler | None = None
    """None: the trainer's; as for the next two."""
    selection: Selection | None = None
    schedule: Schedule | None = None


@dataclass(frozen=True, kw_only=True)
class Options:
    """How steps are made, the same in all phases that do not say otherwise."""

    accumulate: int = 1
    schedule: Schedule = "constant"
    warmup: int = 0
    clip: float | None = None
    checkpoint_every: int = 500
    log_every: int = 50


class Position(Record, frozen=True, kw_only=True):
    """Where a run stands; the scalars of a resumable checkpoint."""

    phase: int = 0
    epoch: int = 0
    """Complete epochs of this phase."""
    batch: int = 0
    """Complete steps of this epoch."""
    step: int = 0
    """Complete steps of the run."""
    best: float | None = None
    """Best validation figure of this phase."""
    seconds: float = 0.0


class Trainer:
    """Trains ``model`` through ``phases`` into a run folder. Every process of a world makes one."""

    def __init__(
        self,
        model: nn.Module,
        phases: Sequence[Phase],
        sampler: Sampler,
        selection: Selection,
        run: Run,
        world: World,
        options: Options,
    ) -> None:
        self.model, self.phases, self.sampler, self.selection = model, phases, sampler, selection
        self.run, self.world, self.options = run, world, options
        self._events = Events(run.folder / EVENTS) if world.leads else None
        self._sums: dict[str, float] = {}
        self._summed = 0

    def fit(self) -> None:
        """From the newest whole checkpoint, or from the start, to the end; leaves the selected weights in the model."""
        self._began = time.monotonic()
        kept = checkpoint.latest(self.run.checkpoints)
        self.at = at = kept.record(Position) if kept else Position()
        self._write(RunStarted(time=time.time(), run=self.run.manifest.id, resumed_step=at.step))
        if kept:
            if (
                processes := sum(key.endswith(".torch") and key.startswith("rng") for key in kept.tensors)
            ) != self.world.size:
                raise OperatorError(
                    f"the run was made by {processes} processes, not {self.world.size}; resume it likewise"
                )
            self.model.load_state_dict(kept.part("model"))
            seeding.restore(kept.part(f"rng{self.world.rank}"))
        self.world.same_tensors(self.model.state_dict().values())
        for number in range(at.phase, len(self.phases)):
            self._phase(number, kept.part("optimizer") if kept and number == at.phase else {})
        last, position = self.phases[-1], self.at
        if self.world.leads:
            selection = self._selection(last)
            best = Metric(name=selection.name, split="validation", value=position.best or 0.0, n=selection.rows)
            path = self._best(last).relative_to(self.run.folder).as_posix()
            self.run.update(status="finished", checkpoint=path, selection=best)
        self._write(RunFinished(time=time.time(), step=position.step, seconds=self._seconds()))
        self._began = time.monotonic()

    def _phase(self, number: int, moments: dict[str, Tensor]) -> None:
        phase = self.phases[number]
        if self.at.phase != number:
            self.at = Position(phase=number, step=self.at.step, seconds=self.at.seconds)
        if self.at.epoch == self.at.batch == 0:
            self._write(PhaseStarted(time=time.time(), phase=phase.name, step=self.at.step, epochs=phase.epochs))
        optimizer = self._prepare(phase)
        if moments:
            checkpoint.load_optimizer(optimizer, moments)
        while self.at.epoch < phase.epochs:
            self._epoch(phase, optimizer)
        # In place: the optimiser of the next phase, and whoever else holds the parameters, see the best ones.
        self.model.load_state_dict(checkpoint.read(self._best(phase)).part("model"))

    def _prepare(self, phase: Phase) -> torch.optim.Optimizer:
        """Freeze the rest, and make sure that the optimiser moves the parameters that the model computes with."""
        live = {id(p) for p in self.model.parameters()}
        wanted = {id(p) for p in phase.trained}
        for parameter in self.model.parameters():
            parameter.requires_grad_(id(parameter) in wanted)
            parameter.grad = None
        optimizer = phase.optimizer(phase.trained)
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        if held != wanted or not held <= live:
            raise RuntimeError(f"phase {phase.name}: the optimiser does not hold the model's own parameters")
        return optimizer

    def _epoch(self, phase: Phase, optimizer: torch.optim.Optimizer) -> None:
        self.model.train()
        number = sum(p.epochs for p in self.phases[: self.at.phase]) + self.at.epoch
        sampler = self.sampler if phase.sampler is None else phase.sampler
        total = phase.epochs * len(sampler)
        for rows in sampler.batches(number, self.at.batch):
            done = self.at.epoch * len(sampler) + self.at.batch
            for group in optimizer.param_groups:
                group["lr"] = phase.lr * factor(
                    done, total, phase.schedule or self.options.schedule, self.options.warmup
                )
            self._step(phase, optimizer, rows, check=done == 0)
            self._move(batch=self.at.batch + 1, step=self.at.step + 1)
            if self.at.step % self.options.log_every == 0:
                self._log(phase)
            if self.at.step % self.options.checkpoint_every == 0 and self.at.batch < len(sampler):
                self._save(optimizer)
        self._validate(phase)
        self._save(optimizer)

    def _step(self, phase: Phase, optimizer: torch.optim.Optimizer, rows: Tensor, *, check: bool) -> None:
        """One update from all rows of the batch: parts and processes are weighted by their rows."""
        before = [p.detach().clone() for p in phase.trained] if check else []
        mine = rows[self.world.rank :: self.world.size]
        optimizer.zero_grad(set_to_none=True)
        for part in mine.tensor_split(min(self.options.accumulate, len(mine))):
            values = phase.step(part.to(self.world.device))
            (values[LOSS] * (len(part) / len(rows))).backward()
            for name, value in values.items():
                self._sums[name] = self._sums.get(name, 0.0) + float(value.detach()) * len(part) / len(mine)
        self._summed += 1
        self.world.sum_gradients(phase.trained)
        if self.options.clip is not None:
            nn.utils.clip_grad_norm_(phase.trained, self.options.clip)
        optimizer.step()
        if check and all(torch.equal(a, b) for a, b in zip(before, phase.trained, strict=True)):
            raise RuntimeError(f"phase {phase.name}: the first step moved no parameter")

    def _validate(self, phase: Phase) -> None:
        self._log(phase)
        self.model.eval()
        selection = self._selection(phase)
        values = selection.measure()
        figure = self.world.share_number(values[selection.name])
        if not math.isfinite(figure):
            raise OperatorError(f"phase {phase.name}: {selection.name} is {figure}; lower the learning rate")
        better = self.at.best is None or figure > self.at.best
        self._move(epoch=self.at.epoch + 1, batch=0, best=figure if better else self.at.best)
        self._write(
            EpochEnded(time=time.time(), phase=phase.name, epoch=self.at.epoch, step=self.at.step, values=values)
        )
        if better and self.world.leads:
            path = self._best(phase)
            checkpoint.write(path, {"model": self.model.state_dict()}, self.at)
            self._saved(path, best=True)
        self.world.share_number(0.0)  # nobody goes on before the file is there

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        # Statistics of normalisation differ between processes: all go on with those that the checkpoint holds.
        self.world.same_tensors(self.model.buffers())
        states = {name: self.world.gather(state) for name, state in seeding.capture().items()}
        if self.world.leads:
            parts = {
                "model": self.model.state_dict(),
                "optimizer": checkpoint.optimizer_tensors(optimizer),
                **{f"rng{rank}": {n: s[rank] for n, s in states.items()} for rank in range(self.world.size)},
            }
            path = checkpoint.step_path(self.run.checkpoints, self.at.step)
            self._move(seconds=self._seconds())
            self._began = time.monotonic()
            checkpoint.write(path, parts, self.at)
            checkpoint.prune(self.run.checkpoints, KEEP)
            self._saved(path, best=False)

    def _saved(self, path: Path, *, best: bool) -> None:
        relative = path.relative_to(self.run.folder).as_posix()
        self._write(CheckpointSaved(time=time.time(), step=self.at.step, path=relative, best=best))

    def _log(self, phase: Phase) -> None:
        if self._summed:
            values = {name: total / self._summed for name, total in self._sums.items()}
            self._write(StepLogged(time=time.time(), phase=phase.name, step=self.at.step, values=values))
            self._sums, self._summed = {}, 0

    def _move(self, **changes: float | None) -> None:
        self.at = Position(**{**{f: getattr(self.at, f) for f in Position.__struct_fields__}, **changes})

    def _write(self, event: TrainingEvent) -> None:
        if self._events:
            self._events.write(event)

    def _selection(self, phase: Phase) -> Selection:
        return self.selection if phase.selection is None else phase.selection

    def _best(self, phase: Phase) -> Path:
        return self.run.checkpoints / f"best-{phase.name}{checkpoint.SUFFIX}"

    def _seconds(self) -> float:
        """Time spent training, over all resumptions."""
        return self.at.seconds + time.monotonic() - self._began


def factor(done: int, total: int, schedule: Schedule, warmup: int) -> float:
    """Of the peak learning rate, for the step after ``done`` of ``total``: a function of the position alone."""
    if done < warmup:
        return (done + 1) / warmup
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / max(1, total - warmup)))
