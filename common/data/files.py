"""Reading text files of a data folder: what is no data is told from data before anything is learnt or asked."""

import hashlib
from pathlib import Path
from typing import TypeVar

import msgspec

from common.errors import OperatorError

R = TypeVar("R")
_POINTER = b"version https://git-lfs.github.com/"


class File:
    """One text file under the data folder, read whole. Raises OperatorError when it is missing or no text of ours."""

    def __init__(self, data: Path | None, name: str) -> None:
        if data is None:
            raise OperatorError(f"{name} is needed: give --data (or KITHARA_DATA) with the folder that holds it")
        self.path = data / name
        try:
            raw = self.path.read_bytes()
        except OSError as error:
            raise OperatorError(f"{self.path}: {error.strerror}; give --data the folder that holds {name}") from None
        if raw.startswith(_POINTER):
            raise OperatorError(f"{self.path}: a Git LFS pointer, not the data; fetch the file itself (`git lfs pull`)")
        try:
            self.text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise OperatorError(f"{self.path}: not UTF-8 at byte {error.start}; fetch the file again") from None
        self.sha256 = hashlib.sha256(raw).hexdigest()

    def lines(self) -> list[str]:
        """Without line ends. Only LF ends a line: texts may hold other separators."""
        return self.text.removesuffix("\n").split("\n")

    def rows(self, kind: type[R]) -> list[R]:
        """One JSON object per line as ``kind``. Raises OperatorError naming line and field."""
        decoder = msgspec.json.Decoder(kind)
        found: list[R] = []
        for number, line in enumerate(self.lines(), 1):
            try:
                found.append(decoder.decode(line))
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                raise OperatorError(f"{self.path}, line {number}: {error}; correct or drop the row") from None
        return found


def digest(*files: File) -> str:
    """Of one file, or of several in order."""
    if len(files) == 1:
        return files[0].sha256
    return hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
