"""A sound file opened by what its bytes are, read forwards in blocks within stated limits."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import soundfile

from common.audio.container import cut_off, known
from common.errors import Malformed, TooLarge, Unsupported
from contracts.media import AudioLimits

FORMATS = "WAV, FLAC, MP3, or Ogg with Vorbis or Opus"
_TAKEN = ("WAV", "WAVEX", "FLAC", "OGG", "MP3")
_BLOCK = 16_384
"""Frames: 0.5 MiB at 8 channels."""
_FOREIGN = (1, 4, 18)
"""libsndfile: format not recognised, encoding not supported, codec not implemented."""
_MP3_SLACK = 4 * 1_152
"""Frames: the length of an MP3 without a length header is an estimate, and its last frames may not decode."""
_MP3_TAIL = 4_096
"""Bytes of tags behind the sound of an MP3."""
_WHOLE = "send the whole file; if it is whole, its length header is missing or wrong: convert it to FLAC or WAV"
_UNSTATED = 2**62
"""Frames from which on the header states no length."""


class _Bytes(BytesIO):
    """Takes what a broken header asks for: an exception cannot pass through the C library that seeks."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return super().seek(max(offset, 0) if whence == 0 else offset, whence)


class _Forwards(soundfile.SoundFile):
    """Never seeks: soundfile would after every block, which fails where a FLAC states no length."""

    def seekable(self) -> bool:
        return False


class Source:
    """An opened file."""

    def __init__(self, file: soundfile.SoundFile, stream: BytesIO, name: str) -> None:
        self.file, self.stream, self.name = file, stream, name
        self.sample_rate: int = file.samplerate
        self.stated: int | None = file.frames if file.frames < _UNSTATED else None
        """Frames, by the header."""
        self.frames_read = 0
        """Frames, so far."""

    @property
    def seconds_read(self) -> float:
        """Of sound, so far."""
        return self.frames_read / self.sample_rate


@contextmanager
def opened(data: bytes, limits: AudioLimits, name: str) -> Iterator[Source]:
    """Read the header; no sample is decoded yet. Raises: Malformed, Unsupported, TooLarge."""
    if not data:
        raise Malformed(f"{name} is empty; send the bytes of a sound file: {FORMATS}")
    if len(data) > limits.bytes:
        raise TooLarge(f"{name} has {len(data)} bytes, at most {limits.bytes} are taken; send a part, or compress it")
    if not known(data):
        raise _unsupported(name, "is no sound file of a known format")
    if why := cut_off(data):
        raise Malformed(f"{name} is cut off: {why}; send the whole file")
    stream = _Bytes(data)
    try:
        file = _Forwards(stream)
    except soundfile.LibsndfileError as error:
        if error.code in _FOREIGN:
            raise _unsupported(name, f"cannot be read ({error.error_string})") from None
        raise Malformed(f"{name} has a header that cannot be read ({error.error_string}); send it again") from None
    with file:
        source = Source(file, stream, name)
        _check_header(source, limits)
        yield source


def blocks(source: Source, limits: AudioLimits) -> Iterator[np.ndarray]:
    """Mono float32 (up to 16,384,): the mean of the channels.

    Raises: TooLarge as soon as more than ``limits.seconds`` have come, Malformed for broken or missing sound.
    """
    most = int(limits.seconds * source.sample_rate)
    while len(block := _next(source)):
        source.frames_read += len(block)
        if source.frames_read > most:
            raise _too_long(source, limits)
        yield _mono(block)
    _check_end(source)


def _next(source: Source) -> np.ndarray:
    try:
        return source.file.read(_BLOCK, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise Malformed(
            f"{source.name} is broken or cut off after {source.seconds_read:.1f} s ({error.error_string}); "
            "send the whole file again"
        ) from None


def _mono(block: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # what is no number is told when all has come
        return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)


def _check_header(source: Source, limits: AudioLimits) -> None:
    file, name = source.file, source.name
    if file.format not in _TAKEN:
        raise _unsupported(name, f"is {file.format}")
    if not limits.lowest_rate <= file.samplerate <= limits.highest_rate:
        raise Unsupported(
            f"{name} has {file.samplerate} samples per second; resample it: "
            f"{limits.lowest_rate} to {limits.highest_rate} are taken"
        )
    if file.channels > limits.channels:
        raise Unsupported(f"{name} has {file.channels} channels, at most {limits.channels} are taken; mix it down")
    if source.stated is not None and source.stated > limits.seconds * file.samplerate:
        raise _too_long(source, limits)


def _check_end(source: Source) -> None:
    """A WAV or Ogg without its end is refused at the start; a FLAC and an MP3 show it here."""
    kind, stated = source.file.format, source.stated
    if kind not in ("FLAC", "MP3") or stated is None:
        return
    if source.frames_read + (_MP3_SLACK if kind == "MP3" else 0) < stated:
        raise Malformed(
            f"{source.name} ends after {source.seconds_read:.1f} of {stated / source.sample_rate:.1f} s; {_WHOLE}"
        )
    # The estimate may also be too low, and then the codec stops early without a word.
    if kind == "MP3" and (left := len(source.stream.getbuffer()) - source.stream.tell()) > _MP3_TAIL:
        raise Malformed(f"{source.name} has {left} bytes behind its stated end; {_WHOLE}")


def _too_long(source: Source, limits: AudioLimits) -> TooLarge:
    return TooLarge(f"{source.name} lasts longer than the {limits.seconds:g} s that are taken; send a part of it")


def _unsupported(name: str, what: str) -> Unsupported:
    return Unsupported(f"{name} {what}; convert it to {FORMATS}")
