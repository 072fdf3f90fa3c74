"""Which studies run programmes, and what became of each one, kept beside the replies.

What a programme comes to may depend on load, on isolation and on what is installed. A report is a function of the
replies nevertheless: a programme is run once in the life of a run folder, and afterwards its outcome is read.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Literal

import msgspec

from common.errors import OperatorError
from contracts._base import Record
from llm_studies.bloomwise.baselines import PROGRAMMING
from llm_studies.bloomwise.config import Config
from llm_studies.llm.folder import PROGRAMMES
from llm_studies.sandbox.policy import VERSION
from llm_studies.sandbox.run import Outcome, Sandbox, Status

READ = {"int": int, "float": float, "Fraction": Fraction, "Decimal": Decimal, "str": str}
"""What reads ``str`` of a value again, exactly."""


class Kept(Record, frozen=True, kw_only=True):
    """One line of PROGRAMMES. The programme itself stands in the journal."""

    code: str
    """SHA-256 of its text."""
    policy: int
    """``policy.VERSION``; outcomes under another one are not used."""
    status: Status
    kind: Literal["int", "float", "Fraction", "Decimal", "str", ""] = ""
    text: str = ""
    """The value: with ``kind``, exact."""
    detail: str = ""
    """The model may have been shown it, and what it then said depends on it."""


def programmes(config: Config) -> bool:
    """Whether anything in the study is run in the sandbox."""
    return bool(PROGRAMMING & set(config.methods)) or any(one.mode != "text" for one in config.ladders.values())


class Programmes:
    """A sandbox that runs each programme once, however often its outcome is asked for."""

    def __init__(self) -> None:
        self._sandbox = Sandbox()
        self._known: dict[str, Outcome] = {}
        self._file: Path | None = None

    def keep(self, folder: Path) -> None:
        """From now on outcomes are those of the run ``folder``, and new ones are added. Raises OperatorError."""
        self._file = folder / PROGRAMMES
        self._known = {}
        for code, ran in _lines(self._file):
            self._known.setdefault(code, ran)

    async def __call__(self, code: str) -> Outcome:
        key = hashlib.sha256(code.encode(errors="surrogatepass")).hexdigest()
        if key not in self._known:
            ran = await self._sandbox.arun(code)
            if key not in self._known:  # another job may have run the same programme meanwhile
                self._known[key] = ran
                if self._file is not None:
                    _append(self._file, kept(key, ran))
        return self._known[key]


def kept(code: str, ran: Outcome) -> Kept:
    kind, text = ("", "") if ran.value is None else (type(ran.value).__name__, str(ran.value))
    row = {"code": code, "policy": VERSION, "status": ran.status, "kind": kind, "text": text, "detail": ran.detail}
    return msgspec.convert(row, Kept)


def outcome(row: Kept) -> Outcome:
    """Without the seconds, which are no part of any report."""
    return Outcome(row.status, READ[row.kind](row.text) if row.kind else None, row.detail)


def _lines(file: Path) -> Iterator[tuple[str, Outcome]]:
    """What is kept under this policy, by code; a last line that a crash tore is left out, and its programme run again.

    Raises OperatorError that names the line which does not decode.
    """
    try:
        *whole, _ = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise OperatorError(f"{file} cannot be read ({error.strerror}); correct that and run again") from error
    decoder = msgspec.json.Decoder(Kept)
    for number, line in enumerate(whole, 1):
        try:
            row = decoder.decode(line)
            ran = outcome(row)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, ArithmeticError) as error:
            where = f"{file}, line {number}"
            raise OperatorError(f"{where}: {error}; remove that line, its programme is then run again") from error
        if row.policy == VERSION:
            yield row.code, ran


def _append(file: Path, row: Kept) -> None:
    """One line, after what a crash tore is cut off; alone, as a report may be made while the study runs."""
    try:
        with file.open("a+b", buffering=0) as out:
            fcntl.flock(out, fcntl.LOCK_EX)
            end = os.fstat(out.fileno()).st_size
            if end and os.pread(out.fileno(), 1, end - 1) != b"\n":
                os.ftruncate(out.fileno(), file.read_bytes().rfind(b"\n") + 1)
            line = msgspec.json.encode(row) + b"\n"
            if out.write(line) < len(line):  # the disk is full; the next line cuts this one off
                raise OSError(28, "no space left")
    except OSError as error:
        raise OperatorError(f"{file} cannot be written ({error.strerror}); make room and run again") from error
