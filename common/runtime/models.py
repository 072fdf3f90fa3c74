"""All models of a repository as they serve now: versions, aliases, readiness, reload, recovery."""

import asyncio
import contextlib
from collections.abc import Collection, Coroutine, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from common.errors import Draining, KitharaError, NotReady, Unknown
from common.runtime.base import Arrays, Backend, Call
from common.runtime.batcher import Stats
from common.runtime.slots import Served, Slot
from common.runtime.tensors import check
from contracts.models import ModelCard, ModelDetail, ModelStatus, ModelSummary

if TYPE_CHECKING:
    from common.registry.store import Repository

CURRENT = ""
"""The key, beside the aliases, of the version that answers when a request names none."""


class _Model:
    """A name of the repository: where its current version and its aliases point, and the versions behind them."""

    def __init__(self, name: str, reason: str | None = "is loading") -> None:
        self.name, self.reason = name, reason
        self.points: dict[str, int] = {}
        self.slots: dict[int, Slot] = {}
        self.lock = asyncio.Lock()

    @property
    def current(self) -> Slot | None:
        return self.slots.get(self.points.get(CURRENT, 0))

    @property
    def left_out(self) -> bool:
        return self.current is not None and self.current.left_out

    @property
    def aliases(self) -> dict[str, int]:
        return {alias: number for alias, number in self.points.items() if alias != CURRENT}

    def find(self, tag: str) -> Slot | None:
        """The slot behind ``name``, ``name@alias`` or ``name@number``, by what follows the ``@``."""
        return self.slots.get(int(tag) if tag.isdecimal() else self.points.get(tag, 0))

    def served(self) -> Iterator[tuple[str, Served]]:
        """Every reference that answers now."""
        for tag in {*self.points, *map(str, self.slots)}:
            slot = self.find(tag)
            if slot and slot.ready and slot.served:
                yield f"{self.name}@{tag}" if tag else self.name, slot.served

    def status(self) -> ModelStatus:
        current = self.current
        if current is None or current.reason:
            number, reason = (current.number, current.reason) if current else (None, self.reason)
            return ModelStatus(ready=False, version=number, reason=reason)
        broken = [
            f"{a} (version {n}): {self.slots[n].reason}" for a, n in self.aliases.items() if not self.slots[n].ready
        ]
        return ModelStatus(
            ready=True, version=current.number, reason="; ".join(filter(None, [self.reason, *broken])) or None
        )


class Models:
    """Opens, proves and watches the models of a repository; constructing it does no work.

    ``names`` restricts which models are served (None: all); ``licences="open"`` leaves out those that only research
    may use. A version is open while it is the current one (alias ``default``, else the newest) or has an alias.
    """

    def __init__(
        self,
        repository: "Repository",
        backend: Backend,
        *,
        names: Collection[str] | None = None,
        licences: Literal["all", "open"] = "all",
        probe_every: float = 2.0,
    ) -> None:
        self._repository, self._backend, self._names = repository, backend, names
        self._open_only = licences == "open"
        self._probe_every = probe_every
        self._models: dict[str, _Model] = {}
        self._served: dict[str, Served] = {}
        self._state: Literal["starting", "serving", "stopped"] = "starting"
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._retiring: set[Slot] = set()

    async def start(self) -> None:
        """Open everything. A model that cannot serve is not ready, with the reason, and is tried again.

        Raises OperatorError when the repository itself cannot be read.
        """
        found = await asyncio.to_thread(self._repository.names)
        for name in found if self._names is None else self._names:
            self._models[name] = _Model(name)
        await asyncio.gather(*(self._update(model) for model in self._models.values()))
        self._state = "serving"
        self._spawn(self._supervise())

    def served(self, ref: str) -> Served:
        """The version behind ``name``, ``name@number`` or ``name@alias``. Raises Unknown, NotReady or Draining."""
        served = self._served.get(ref)
        if served is None:
            raise self._refusal(ref)
        return served

    async def infer(self, ref: str, inputs: Arrays, call: Call) -> tuple[dict[str, np.ndarray], ModelCard]:
        """Check the tensors and run the model. Raises what ``served``, ``check`` and ``Engine.infer`` raise."""
        card, _, engine, _ = self.served(ref)
        check(card.signature, inputs, card.limits)
        return await engine.infer(inputs, call), card

    def status(self) -> dict[str, ModelStatus]:
        """Readiness by name."""
        return {model.name: model.status() for model in self._listed()}

    def stats(self) -> dict[str, Stats]:
        """Counters by ``name@version``, of the engines that count."""
        open_ = [(m.name, slot.served) for m in self._listed() for slot in m.slots.values() if slot.served]
        counted = {f"{name}@{served.version}": served.engine.stats() for name, served in open_}
        return {label: stats for label, stats in counted.items() if stats is not None}

    def summaries(self) -> tuple[ModelSummary, ...]:
        """One line for each model whose card can be read."""
        return tuple(
            _summary(model, model.current.card) for model in self._listed() if model.current and model.current.card
        )

    def detail(self, ref: str) -> ModelDetail:
        """Summary of the model and card of the version. Raises Unknown or NotReady (the card cannot be read)."""
        name, _, tag = ref.partition("@")
        model = self._models.get(name)
        slot = model.find(tag) if model and not model.left_out else None
        if not model or not slot or not slot.card:
            raise self._refusal(ref)
        return ModelDetail(summary=_summary(model, slot.card), card=slot.card)

    async def reload(self, name: str) -> ModelStatus:
        """Read the model's versions and aliases again: load, prove, switch, then drain what nothing points to.

        A version that cannot serve is refused: the old one stays, and the status says why. Raises Unknown.
        """
        if name not in self._models:
            allowed = self._names is None or name in self._names
            if not allowed or name not in await asyncio.to_thread(self._repository.names):
                raise self._refusal(name)
            self._models[name] = _Model(name)
        model = self._models[name]
        await self._update(model)
        return model.status()

    async def stop(self, drain: float) -> None:
        """Refuse new calls, give those accepted ``drain`` seconds to end, and close everything."""
        self._state = "stopped"
        self._served = {}
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        slots = [*self._retiring, *(slot for model in self._models.values() for slot in model.slots.values())]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain):
                await asyncio.gather(*(slot.close() for slot in slots))
        await self._backend.close()

    async def _update(self, model: _Model) -> None:
        async with model.lock:
            try:
                wanted = await asyncio.to_thread(self._wanted, model.name)
            except Exception as error:
                model.reason = str(error) or type(error).__name__
                return
            slots = {n: model.slots.get(n) or self._slot(model.name, n) for n in set(wanted.values())}
            await asyncio.gather(*(slot.attempt(self._probe_every) for slot in slots.values() if not slot.ready))
            self._switch(model, wanted, slots)

    def _wanted(self, name: str) -> dict[str, int]:
        _, current = self._repository.resolve(name)
        return {**self._repository.aliases(name), CURRENT: current}

    def _slot(self, name: str, number: int) -> Slot:
        return Slot(self._repository, self._backend, name, number, self._open_only, self._lost)

    def _switch(self, model: _Model, wanted: dict[str, int], candidates: dict[int, Slot]) -> None:
        """Point to each candidate that serves, or that replaces nothing that serves; retire what is left over."""
        slots = {**model.slots, **candidates}
        points, refused = dict(wanted), list[str]()
        for key, number in wanted.items():
            old = model.points.get(key)
            if not slots[number].ready and old is not None and slots[old].ready:
                points[key] = old
                refused.append(f"version {number} was refused: {slots[number].reason}")
        model.points, model.reason = points, "; ".join(dict.fromkeys(refused)) or None
        model.slots = {number: slots[number] for number in sorted(set(points.values()))}
        self._publish()
        for number in slots.keys() - model.slots.keys():
            self._spawn(self._retire(slots[number]))

    def _publish(self) -> None:
        if self._state != "stopped":
            self._served = dict(pair for model in self._listed() for pair in model.served())

    def _lost(self) -> None:
        self._publish()
        self._wake.set()

    async def _supervise(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._probe_every)
            self._wake.clear()
            await asyncio.gather(*(self._recover(model) for model in self._models.values() if not model.lock.locked()))

    async def _recover(self, model: _Model) -> None:
        if not model.slots:
            await self._update(model)
            return
        async with model.lock:
            due = [slot for slot in model.slots.values() if slot.due()]
            await asyncio.gather(*(slot.attempt(self._probe_every) for slot in due))
        if due:
            self._publish()

    def _refusal(self, ref: str) -> KitharaError:
        if self._state == "stopped":
            return Draining("the service is going down; ask another instance")
        if self._state == "starting":
            return NotReady("the models are being opened; ask again")
        name, _, tag = ref.partition("@")
        model = self._models.get(name)
        if model is None or model.left_out:
            known = ", ".join(sorted(model.name for model in self._listed())) or "none"
            return Unknown(f"no model {name!r} is served here; served: {known}")
        slot = model.find(tag)
        if slot or not model.slots:
            reason = slot.reason if slot else model.reason
            return NotReady(f"{ref} is not ready: {reason}", retry_after=self._probe_every)
        tags = ", ".join([*map(str, model.slots), *model.aliases])
        return Unknown(f"{name!r} is not served as {tag!r}; served: {tags}")

    def _listed(self) -> Iterator[_Model]:
        return (model for model in self._models.values() if not model.left_out)

    async def _retire(self, slot: Slot) -> None:
        """Close a version that nothing points to, after the last request that may hold it has met its deadline."""
        self._retiring.add(slot)
        if slot.served:
            await asyncio.sleep(slot.served.card.limits.deadline)
        await slot.close()
        self._retiring.discard(slot)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _summary(model: _Model, card: ModelCard) -> ModelSummary:
    return ModelSummary(
        name=model.name,
        system=card.system,
        task=card.task,
        description=card.description,
        use=card.use,
        version=model.points[CURRENT],
        versions=tuple(model.slots),
        aliases=model.aliases,
        status=model.status(),
    )
