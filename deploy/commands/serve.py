"""``kithara serve``."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Self

from tyro import conf

from common.settings import Settings, load
from deploy.commands.base import Command, parse


class Given(Settings, frozen=True, kw_only=True):
    """Settings as flags give them: fields that need one another are checked after all sources are merged."""

    def __post_init__(self) -> None:
        pass


@dataclass(frozen=True, kw_only=True)
class Serve(Command):
    """Serve the models over HTTP. Each flag is also KITHARA_<FLAG> and a key of --config; a flag wins."""

    settings: Annotated[Settings, conf.arg(name="")]

    @classmethod
    def read(cls, args: Sequence[str], prog: str) -> Self:
        flags = parse(Flags, args, prog)
        words = {word.removeprefix("--").removeprefix("no-").partition("=")[0].replace("-", "_") for word in args}
        given = {name: getattr(flags.settings, name) for name in Settings.__struct_fields__ if name in words}
        return cls(settings=load(given, os.environ, flags.config))

    def run(self) -> None:
        """Serve until a signal says to stop."""
        from common.http.server import run
        from deploy.app import create_app

        run(create_app(self.settings), self.settings)


@dataclass(frozen=True, kw_only=True)
class Flags:
    __doc__ = Serve.__doc__

    config: Annotated[Path | None, conf.arg(metavar="FILE")] = None
    """A TOML file of settings; the environment and flags override it."""
    settings: Annotated[Given, conf.arg(name="")] = field(default_factory=Given)
