"""``kithara train SYSTEM``."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, ClassVar, Generic, Self, TypeVar, cast

import msgspec
from tyro import conf

from common.errors import OperatorError
from common.system import load, system, systems
from common.toml import check
from contracts._base import Record
from deploy.commands import configs
from deploy.commands.base import DATA, Answer, Reporting, data_root, existing, parse

C = TypeVar("C", bound=Record)

OF_THIS_MACHINE = ("--data", "--out", "--resume")
"""Flags that say where, not what."""


class TrainedRun(Record, frozen=True, kw_only=True):
    """The answer of ``kithara train --json``."""

    system: str
    run: str
    """The run folder."""


@dataclass(frozen=True, kw_only=True)
class Flags(Reporting):
    """Train a system; prints the run folder. Under torchrun: `torchrun ... -m deploy.cli train SYSTEM ...`."""

    extra: ClassVar[str] = "train"

    system: Annotated[str, conf.Positional, conf.arg(metavar="SYSTEM")]
    """Comes first. `kithara train SYSTEM --help` lists the fields of its configuration."""
    config: Annotated[str, conf.arg(metavar="tiny|starter|paper|FILE")] = "tiny"
    """A packaged configuration or a TOML file; `--section.key value` overrides one field of it."""
    data: Annotated[Path | None, conf.arg(metavar="DIR")] = field(default_factory=data_root)
    """Folder with the data sets. Default: the environment's KITHARA_DATA."""
    out: Annotated[Path, conf.arg(metavar="DIR")] = Path("runs")
    """Where run folders are made."""
    resume: Annotated[Path | None, conf.arg(metavar="RUN")] = None
    """Go on with this run exactly where it stopped, under its own configuration."""


@dataclass(frozen=True, kw_only=True)
class Train(Flags, Generic[C]):
    __doc__ = Flags.__doc__

    section: Annotated[C, conf.arg(name="")]
    command: conf.Suppress[conf.Fixed[str]]

    @classmethod
    def read(cls, args: Sequence[str], prog: str) -> Self:
        """Looks for the system and the file first: they decide which other flags there are, and their defaults."""
        if args and args[0] in ("-h", "--help"):
            parse(Flags, args, prog)
        if not args or args[0].startswith("-"):
            raise OperatorError(f"name the system first: {prog} SYSTEM ...; systems: {', '.join(sorted(systems()))}")
        known = system(args[0])
        resume, name = _value(args, "--resume"), _value(args, "--config")
        if resume and name:
            raise OperatorError("--resume takes the run's own configuration; leave --config out")
        folder = existing(Path(resume), "--resume") if resume else None
        chosen = configs.read(known, str(folder / "config.toml") if folder else name or "tiny")
        defaults = Train(system=known.name, section=chosen, command=reproducible(args))
        read = parse(Train[load(known.config)], args, prog, default=defaults)
        checked = check(msgspec.to_builtins(read.section), type(chosen), "flag")
        return cast(Self, replace(read, section=checked))

    def answer(self) -> Answer:
        train = system(self.system).load("train")
        run: Path = train(
            config=self.section,
            data=existing(self.data, DATA),
            out=self.out,
            resume=self.resume,
            command=self.command,
        )
        return Answer(TrainedRun(system=self.system, run=str(run)), str(run))


def reproducible(args: Sequence[str]) -> str:
    """The command line without the flags that say where on this machine, so that it trains the same thing elsewhere."""
    kept, skip = [], False
    for arg in args:
        if not skip and arg.partition("=")[0] not in (*OF_THIS_MACHINE, "--json"):
            kept.append(arg)
        skip = not skip and arg in OF_THIS_MACHINE
    return shlex.join(["kithara", "train", *kept])


def _value(args: Sequence[str], flag: str) -> str | None:
    """The last value given as ``flag value`` or ``flag=value``."""
    found = None
    for arg, after in pairwise([*args, ""]):
        if arg.partition("=")[0] == flag:
            found = arg.partition("=")[2] or after
    return found
