"""``Sandbox().run(code)``: one process for each programme, and an outcome whatever the programme does."""

import asyncio
import os
import re
import secrets
import selectors
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import IO, ClassVar, Literal, NamedTuple

import msgspec

from common.errors import OperatorError
from contracts._base import Record
from llm_studies.sandbox import bubblewrap
from llm_studies.sandbox.limits import Limits

Status = Literal[
    "ok", "no-answer", "syntax", "forbidden", "exception", "timeout", "memory", "output", "non-finite", "non-number"
]
Value = int | float | Fraction | Decimal | str
INTEGER = r"[+-]?\d+"
FORMS = {
    "int": (INTEGER, int),
    "float": (r"[+-]?\d[\d.]*(e[+-]?\d{1,3})?", float),
    "Fraction": (rf"{INTEGER}(/\d*[1-9]\d*)?", Fraction),
    "Decimal": (r"[+-]?\d[\d.]*(E[+-]?\d{1,5})?", Decimal),
}
"""Kind -> how its text looks, and what reads it. The child is not believed."""


class Outcome(NamedTuple):
    """What became of a programme."""

    status: Status
    value: Value | None = None
    """Of ``answer``, exact; only where the status is ``ok``."""
    detail: str = ""
    """For the programme's author, where it is not."""
    seconds: float = 0.0


class Line(Record, frozen=True, kw_only=True):
    """What the child reports."""

    nonce: str
    status: Status
    kind: Literal["int", "float", "Fraction", "Decimal", "str", ""] = ""
    text: str = ""
    detail: str = ""


class Ended(NamedTuple):
    """How a child's process ended."""

    code: int
    report: bytes
    late: bool
    loud: bool


class Sandbox:
    """Runs programmes; safe to share between threads and event loops. ``isolation`` says what contains them.

    Raises OperatorError where not even a harmless programme can be run, e.g. for a root that may not become another.
    """

    _proved: ClassVar[bool] = False
    """That rlimits work here; bubblewrap was tried before it was chosen."""

    def __init__(self, limits: Limits = Limits(), isolation: bubblewrap.Isolation | None = None) -> None:  # noqa: B008
        self.limits = limits
        self.isolation: bubblewrap.Isolation = isolation or bubblewrap.isolation()
        self._checked = True  # tests look at the process alone
        self._pool = ThreadPoolExecutor(limits.parallel, thread_name_prefix="sandbox")
        if self.isolation == "rlimits" and not Sandbox._proved:
            self._prove()

    def _prove(self) -> None:
        tried = Sandbox.run(self, "answer = 6 * 7")
        if tried.value != 42:
            what = "run as a user other than root, or install bubblewrap and allow user namespaces"
            raise OperatorError(f"no programme can be run here ({tried.detail}); {what}")
        Sandbox._proved = True

    async def arun(self, code: str) -> Outcome:
        """``run`` without blocking the loop; at most ``limits.parallel`` at once. A caller that leaves cancels one
        that has not started; one that has ends by its own limits."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.run, code)

    def close(self) -> None:
        """Wait for the programmes under way."""
        self._pool.shutdown(cancel_futures=True)

    def run(self, code: str) -> Outcome:
        """Run ``code``, which assigns ``answer``. Never raises for what the programme does."""
        started = time.monotonic()
        try:
            source = code.encode()
        except UnicodeEncodeError:
            return Outcome("syntax", detail="the programme is not valid Unicode")
        if len(source) > self.limits.source:
            return Outcome("forbidden", detail=f"the programme is longer than {self.limits.source} bytes")
        nonce = secrets.token_hex(16)
        ended = self._process(nonce.encode() + b"\n" + source)
        return self._outcome(ended, nonce, time.monotonic() - started)

    def _process(self, request: bytes) -> Ended:
        limits = self.limits
        reading, writing = os.pipe()
        with (
            os.fdopen(reading, "rb") as line,
            tempfile.TemporaryDirectory() as root,
            tempfile.TemporaryFile() as stdin,
            bubblewrap.filtered() as filter_,
        ):
            stdin.write(request)
            stdin.seek(0)
            arguments = [str(number) for number in (writing, limits.cpu, limits.memory, limits.digits)]
            try:
                process = subprocess.Popen(
                    bubblewrap.command(self.isolation, filter_, arguments, Path(root), self._checked),
                    stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    pass_fds=(writing, filter_), env={}, cwd=root, start_new_session=True,
                )  # fmt: skip
            finally:
                os.close(writing)
            with process:
                try:
                    assert process.stdout is not None
                    late, loud, report = self._watch(process.stdout, line)
                finally:  # also what it may have started; the process itself is not yet waited for
                    os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
            return Ended(process.returncode, report, late, loud)

    def _watch(self, printed: IO[bytes], line: IO[bytes]) -> tuple[bool, bool, bytes]:
        """Until both ends are closed, the time is over, or too much was printed. What is printed is only counted."""
        deadline = time.monotonic() + self.limits.wall
        count, report = 0, b""
        with selectors.DefaultSelector() as selector:
            for file in (printed, line):
                selector.register(file, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    return True, False, report
                for key, _ in ready:
                    block = os.read(key.fd, 2**16)
                    if not block:
                        selector.unregister(key.fileobj)
                    elif key.fileobj is printed:
                        count += len(block)
                    else:
                        report += block
                if max(count, len(report)) > self.limits.output:
                    return False, True, report
        return False, False, report

    def _outcome(self, ended: Ended, nonce: str, seconds: float) -> Outcome:
        limits = self.limits
        if ended.loud:
            return Outcome("output", None, f"it printed more than {limits.output} bytes", seconds)
        if ended.late:
            return Outcome("timeout", None, f"it ran longer than {limits.wall:g} s", seconds)
        try:
            line = msgspec.json.decode(ended.report, type=Line)
        except msgspec.MsgspecError:
            return self._died(ended.code, seconds)
        if not secrets.compare_digest(line.nonce.encode(), nonce.encode()):
            return Outcome("exception", None, "it forged its result", seconds)
        if line.status != "ok":
            return Outcome(line.status, None, line.detail, seconds)
        return self._value(line, seconds)

    def _died(self, code: int, seconds: float) -> Outcome:
        """Without a result. bubblewrap tells a signal as 128 + its number."""
        number = -code if code < 0 else code - 128
        if number == signal.SIGXCPU or (number == signal.SIGKILL and seconds >= self.limits.cpu):
            return Outcome("timeout", None, f"it used more than {self.limits.cpu} s of processor time", seconds)
        if number == signal.SIGKILL:  # processor time cannot exceed wall time: it was the kernel, for memory
            return Outcome("memory", None, "it needs more memory than there is", seconds)
        return Outcome("exception", None, f"its process ended without a result (status {code})", seconds)

    def _value(self, line: Line, seconds: float) -> Outcome:
        # A sign, a point, a slash between two numbers, an exponent: at most this many characters are honest.
        if len(line.text) > 2 * self.limits.digits + 32:
            return Outcome("exception", None, "its result is too long", seconds)
        if line.kind == "str":
            return Outcome("ok", line.text, "", seconds)
        form, read = FORMS.get(line.kind, ("", str))
        if not re.fullmatch(form, line.text, re.ASCII):
            return Outcome("exception", None, "its result is not a number", seconds)
        return Outcome("ok", read(line.text), "", seconds)
