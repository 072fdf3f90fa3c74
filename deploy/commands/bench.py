"""``kithara bench NAME``."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol, runtime_checkable

from tyro import conf

from common.errors import OperatorError
from common.system import load, systems
from contracts._base import Record
from deploy.commands.base import Answer, Reporting
from deploy.commands.tables import fields

SUITE = {
    "serving": "deploy.bench.serving:bench",
    "llm": "llm_studies.llm.bench.runner:bench",
    "medusa": "deploy.bench.speech:bench",
}
"""Benches of the suite itself; every system with the verb ``bench`` adds one under its own name."""


@runtime_checkable
class Tabled(Protocol):
    """A report that knows how people read it."""

    def table(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Bench(Reporting):
    """Measure speed: `serving`, `llm`, `medusa`, or a system's own bench."""

    extra: ClassVar[str] = "train"

    name: Annotated[str, conf.Positional, conf.arg(metavar="NAME")]
    quick: bool = False
    """Smaller and sooner: figures are rougher."""

    def answer(self) -> Answer:
        benches = SUITE | {name: system.verbs["bench"] for name, system in systems().items() if "bench" in system.verbs}
        if self.name not in benches:
            raise OperatorError(f"no bench named {self.name!r}; name one of {', '.join(sorted(benches))}")
        record: Record = load(benches[self.name])(quick=self.quick)
        return Answer(record, record.table() if isinstance(record, Tabled) else fields(record))
