"""What was asked and answered, one line per call, so that no paid call is paid twice.

A line is written with one ``write`` on a file opened for appending before its reply is handed on: a reply that anybody
saw survives the death of the process. The disk is told within ``FLUSH`` seconds, which bounds what a power cut takes.
"""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from common.errors import OperatorError
from contracts.llm import CallRow, Usage
from llm_studies.llm.folder import CALLS, journals

FLUSH = 0.25
"""Seconds from a write to the flush that covers it."""

LOCK = ".lock"

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(CallRow)


class Place(NamedTuple):
    """Where a line stands."""

    file: int
    offset: int
    length: int


class Index:
    """Journals, read only. In memory is where each reply stands; the replies stay on the disk."""

    def __init__(self) -> None:
        self._files: list[int] = []
        self._places: dict[bytes, Place] = {}
        self.paid = Paid()

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Every journal of a folder; of two replies to one call the first counts.

        Raises OperatorError when the folder has none, or one is damaged before its last line.
        """
        index = cls()
        if not journals(folder):
            raise OperatorError(f"{folder}: no journal in it (calls/*.jsonl); name the folder of a run")
        for path in journals(folder):
            index.add(path)
        return index

    def add(self, path: Path) -> int:
        """Index a file; its length without a torn last line."""
        number, end = self._open(path, os.O_RDONLY), 0
        for row, offset, length in lines(path):
            self._note(row, Place(number, offset, length))
            end = offset + length
        return end

    def find(self, key: str) -> CallRow | None:
        """The call of that key, which has a reply."""
        place = self._places.get(bytes.fromhex(key))
        if place is None:
            return None
        return _decoder.decode(os.pread(self._files[place.file], place.length, place.offset))

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._places

    def __len__(self) -> int:
        """Calls with a reply."""
        return len(self._places)

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _open(self, path: Path, flags: int) -> int:
        try:
            self._files.append(os.open(path, flags, 0o644))
        except OSError as error:
            raise OperatorError(f"{path} cannot be opened ({error.strerror}); name another folder") from error
        return len(self._files) - 1

    def _note(self, row: CallRow, place: Place) -> None:
        if row.reply is not None:  # an error is kept for people; asking again may succeed
            self._places.setdefault(bytes.fromhex(row.key), place)
        self.paid.add(row)


class Journal(Index):
    """The journals of a run, one of which is written by this process alone."""

    def __init__(self, folder: Path, shard: tuple[int, int] = (0, 1)) -> None:
        """Open or begin the run's journal. What an earlier process left unfinished on the last line is cut off.

        Raises OperatorError when another process writes to this run, or a line before the last is damaged.
        """
        super().__init__()
        calls = folder / CALLS
        try:
            calls.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OperatorError(f"{calls} cannot be made ({error.strerror}); name another folder") from error
        self._lock = _locked(calls / LOCK, folder)
        self._path = calls / f"{shard[0]}-of-{shard[1]}.jsonl"
        try:
            self._own = self._open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
            for path in journals(folder):
                end = self.add(path)
                if path == self._path:
                    os.ftruncate(self._files[self._own], end)
                    self._end = end
        except BaseException:
            self.close()
            raise
        self._timer: asyncio.TimerHandle | None = None
        self._flush: asyncio.Future[None] | None = None

    def append(self, row: CallRow) -> None:
        """Write a row; it is safe from the death of this process when this returns. Raises OperatorError."""
        line = _encoder.encode(row) + b"\n"
        try:
            written = os.write(self._files[self._own], line)
            if written < len(line):  # the disk is full: half a line must not stay before other lines
                os.ftruncate(self._files[self._own], self._end)
                raise OSError(28, "no space left")
        except OSError as error:
            raise OperatorError(
                f"{self._path} cannot be written ({error.strerror}); make room and run again"
            ) from error
        self._note(row, Place(self._own, self._end, len(line)))
        self._end += len(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH, self._begin_flush)

    async def aclose(self) -> None:
        """Flush everything to the disk, and let others write."""
        if self._timer is not None:
            self._timer.cancel()
        if self._flush is not None:
            await self._flush
        os.fsync(self._files[self._own])
        self.close()

    def close(self) -> None:
        super().close()
        os.close(self._lock)

    def _begin_flush(self) -> None:
        """In a thread: a disk may take long, and the calls go on."""
        self._timer = None
        loop = asyncio.get_running_loop()
        if self._flush is not None and not self._flush.done():
            self._timer = loop.call_later(FLUSH, self._begin_flush)
        else:
            self._flush = loop.run_in_executor(None, os.fsync, self._files[self._own])


class Paid:
    """Running totals over the rows of a journal that were paid for."""

    def __init__(self) -> None:
        self.calls = self.lost = self.prompt_tokens = self.completion_tokens = 0
        """Replies; responses that were billed and no reply; tokens of both."""

    def add(self, row: CallRow) -> None:
        if row.reused:
            return
        if row.reply is not None:
            self.calls += 1
            self._take(row.reply.usage)
        if row.lost is not None:
            self.lost += row.lost.responses
            self._take(row.lost.usage)

    def _take(self, usage: Usage) -> None:
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens

    @property
    def usage(self) -> Usage:
        return Usage(prompt_tokens=self.prompt_tokens, completion_tokens=self.completion_tokens)


def lines(path: Path) -> Iterator[tuple[CallRow, int, int]]:
    """Rows with offset and length, one at a time; a last line that a crash tore is left out.

    Raises OperatorError that names file and line when one before the last does not decode.
    """
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                if not line.endswith(b"\n"):
                    return  # only the last line can lack its end
                row = _decoder.decode(line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                if not file.read(1):
                    return
                raise OperatorError(
                    f"{path}, line {number}: {error}; remove that line, its call is then asked again"
                ) from error
            yield row, offset, len(line)
            offset += len(line)


def paid(folder: Path) -> Paid:
    """What a run folder paid for so far; nothing where there is none. Raises OperatorError."""
    if not journals(folder):
        return Paid()
    with Index.of(folder) as index:
        return index.paid


@contextmanager
def resting(folder: Path) -> Iterator[None]:
    """As long as nobody may write to the run. Raises OperatorError when somebody does."""
    lock = journals(folder)[0].parent / LOCK
    handle = _locked(lock, folder, fcntl.LOCK_SH) if lock.exists() else None  # every writer leaves the file
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _locked(path: Path, folder: Path, kind: int = fcntl.LOCK_EX) -> int:
    """A lock that the system lets go of when the process ends, however it ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT if kind == fcntl.LOCK_EX else os.O_RDONLY, 0o644)
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise OperatorError(
            f"{folder}: another process is running this study; wait for it or name another folder"
        ) from None
    return handle
