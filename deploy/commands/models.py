"""``kithara models list | show | check | alias``: the model repository, without a server."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.table import Table
from tyro import conf

from common.errors import OperatorError
from contracts._base import Positive, Record
from contracts.models import Use
from deploy import SHIPPED
from deploy.commands.base import Answer, Reporting, existing
from deploy.commands.tables import fields, table

if TYPE_CHECKING:
    from common.registry.store import Repository
Models = Annotated[Path | None, conf.arg(metavar="DIR")]
Reference = Annotated[str, conf.Positional, conf.arg(metavar="NAME[@VERSION]")]


class Listed(Record, frozen=True, kw_only=True):
    """One model of a repository."""

    name: str
    versions: tuple[int, ...]
    aliases: dict[str, int]
    version: int
    """The one that answers when a request names none."""
    use: Use
    description: str


class Repositories(Record, frozen=True, kw_only=True):
    """The answer of ``kithara models list --json``."""

    folder: str
    models: tuple[Listed, ...]


class Checked(Record, frozen=True, kw_only=True):
    """One version, loaded and run on its golden inputs."""

    model: str
    ok: bool
    reason: str | None = None


class CheckedModels(Record, frozen=True, kw_only=True):
    """The answer of ``kithara models check --json``."""

    folder: str
    models: tuple[Checked, ...]


class Aliased(Record, frozen=True, kw_only=True):
    """The answer of ``kithara models alias --json``."""

    model: str
    alias: str
    version: Positive


def models_root(given: Path | None) -> Path:
    """The model repository: as given, else what ``KITHARA_MODELS`` names, else the shipped one."""
    return given or Path(os.environ.get("KITHARA_MODELS") or SHIPPED)


def _repository(given: Path | None) -> "Repository":
    from common.registry.store import Repository

    root = models_root(given)
    existing(root, "--models")
    return Repository(root)


@dataclass(frozen=True, kw_only=True)
class List(Reporting):
    """List the published models."""

    models: Models = None
    """The model repository. Default: the one that `kithara serve` reads."""

    def answer(self) -> Answer:
        repository = _repository(self.models)
        listed = tuple(_listed(repository, name) for name in repository.names())
        answer = Repositories(folder=str(models_root(self.models)), models=listed)
        return Answer(answer, _listing(answer))


@dataclass(frozen=True, kw_only=True)
class Show(Reporting):
    """Show the card of one model: where it comes from, what it is good for and what not."""

    model: Reference
    models: Models = None
    """The model repository. Default: the one that `kithara serve` reads."""

    def answer(self) -> Answer:
        repository = _repository(self.models)
        card = repository.load(*repository.resolve(self.model)).card
        return Answer(card, fields(card))


@dataclass(frozen=True, kw_only=True)
class Check(Reporting):
    """Load every version and run it on its golden inputs, as the server does before it serves one."""

    models: Models = None
    """The model repository. Default: the one that `kithara serve` reads."""

    def answer(self) -> Answer:
        from common.runtime.check import check

        checked = tuple(
            Checked(model=m, ok=why is None, reason=why) for m, why in check(_repository(self.models)).items()
        )
        if not checked:
            raise OperatorError(f"no model in {models_root(self.models)}; publish one with `kithara export SYSTEM`")
        answer = CheckedModels(folder=str(models_root(self.models)), models=checked)
        broken = [one.model for one in checked if not one.ok]
        remedy = f"{', '.join(broken)}: not fit to serve (reasons above); publish again or remove the version's folder"
        return Answer(answer, _checks(answer), remedy if broken else None)


@dataclass(frozen=True, kw_only=True)
class Alias(Reporting):
    """Let an alias name a version: `kithara models alias NAME stable 3`; `default` answers when none is named."""

    model: Annotated[str, conf.Positional, conf.arg(metavar="NAME")]
    alias: Annotated[str, conf.Positional, conf.arg(metavar="ALIAS")]
    version: Annotated[int, conf.Positional, conf.arg(metavar="VERSION")]
    models: Models = None
    """The model repository. Default: the one that `kithara serve` reads."""

    def answer(self) -> Answer:
        _repository(self.models).set_alias(self.model, self.alias, self.version)
        answer = Aliased(model=self.model, alias=self.alias, version=self.version)
        return Answer(answer, f"{self.model}@{self.alias} is now version {self.version}")


def _listed(repository: "Repository", name: str) -> Listed:
    _, number = repository.resolve(name)
    card = repository.load(name, number).card
    return Listed(
        name=name,
        versions=tuple(repository.versions(name)),
        aliases=repository.aliases(name),
        version=number,
        use=card.use,
        description=card.description,
    )


def _listing(answer: Repositories) -> Table:
    shown = table(answer.folder, "model", "versions", "default", "aliases", "use", "description")
    for one in answer.models:
        aliases = ", ".join(f"{alias}={number}" for alias, number in one.aliases.items())
        versions = ", ".join(map(str, one.versions))
        shown.add_row(one.name, versions, str(one.version), aliases, one.use, one.description)
    return shown


def _checks(answer: CheckedModels) -> Table:
    shown = table(answer.folder, "model", "ok", "reason")
    for one in answer.models:
        shown.add_row(one.model, "yes" if one.ok else "NO", one.reason or "")
    return shown
