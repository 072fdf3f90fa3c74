"""What every command shares: reading its flags, and giving its answer on a stdout that holds nothing else."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import msgspec
import tyro

from common.errors import OperatorError
from contracts._base import Record

T = TypeVar("T")

BOX = re.compile(r"\x1b\[[0-9;]*m|[│╭╮╰╯]")
RULE = re.compile(r"─{3,}")


DATA = "--data (or KITHARA_DATA)"


class Answer(NamedTuple):
    """What a command found or made."""

    record: Record | Sequence[Record]
    """For programs: the one JSON document of ``--json``."""
    text: Any
    """For people: a string, or anything that rich renders."""
    failure: str | None = None
    """Set when the command ran but the thing asked for does not hold: shown after the answer, and the exit status."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command line, read and typed."""

    extra: ClassVar[str] = "serve"
    """The extra of this distribution that holds the packages the command needs."""

    @classmethod
    def read(cls, args: Sequence[str], prog: str) -> Self:
        """The command that ``args`` describe. Raises OperatorError for what is no flag or value; exits on --help."""
        return parse(cls, args, prog)

    def run(self) -> None:
        """Do what was asked. Raises KitharaError when it could not be done."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Reporting(Command):
    """A command that ends with an answer. Until then stdout is quiet: progress and prints of libraries go to stderr."""

    json: bool = False
    """Print the answer as one JSON document and nothing else on stdout."""

    def answer(self) -> Answer:
        raise NotImplementedError

    def run(self) -> None:
        with _stdout_to_stderr():
            answer = self.answer()
        if os.environ.get("RANK", "0") == "0":  # under torchrun one process answers for all
            _show(answer, self.json)
        if answer.failure:
            raise OperatorError(answer.failure)


def data_root() -> Path | None:
    """The folder that ``KITHARA_DATA`` names, if any."""
    return Path(os.environ["KITHARA_DATA"]) if os.environ.get("KITHARA_DATA") else None


def existing(folder: Path | None, flag: str) -> Path | None:
    """``folder``, if it is one. Raises OperatorError that names the flag."""
    if folder is not None and not folder.is_dir():
        raise OperatorError(f"{flag} {folder}: no such folder; give the path of an existing one")
    return folder


def parse(kind: type[T], args: Sequence[str], prog: str, **more: Any) -> T:
    """``tyro.cli`` whose complaint is one line. Raises OperatorError; exits with status 0 when help was asked for."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(kind, args=args, prog=prog, **more)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise OperatorError(f"{_unboxed(box.getvalue())}; see `{prog} --help`") from None


def _unboxed(box: str) -> str:
    """The first paragraph inside a box that tyro drew: what is wrong. What follows a rule is help."""
    lines = [BOX.sub("", line).strip() for line in box.splitlines()[1:-1]]
    end = next((i for i, line in enumerate(lines) if RULE.search(line)), len(lines))
    return " ".join(" ".join(lines[:end]).split()).rstrip(".")


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Send to stderr what this process, its native libraries and its children write to stdout."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _show(answer: Answer, as_json: bool) -> None:
    if as_json:
        document = msgspec.json.format(msgspec.json.encode(answer.record), indent=2)
        sys.stdout.write(document.decode() + "\n")
    elif isinstance(answer.text, str):
        sys.stdout.write(answer.text + "\n")
    else:
        from rich.console import Console

        Console().print(answer.text)
    sys.stdout.flush()
