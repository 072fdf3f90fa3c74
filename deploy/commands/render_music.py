"""``kithara data render-music``."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, ClassVar, Literal, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tyro import conf

from common.errors import OperatorError
from contracts._base import Positive, Record, Sha256
from deploy.commands.base import Answer, Reporting
from deploy.commands.tables import fields

EVERY = 10.0
"""Seconds between two lines where there is no terminal."""


class RenderedMusic(Record, frozen=True, kw_only=True):
    """The answer of ``kithara data render-music --json``."""

    folder: str
    preset: str
    seed: int
    clips: dict[str, Positive]
    """By split."""
    tunes: dict[str, Positive]
    """By split; none stands in two."""
    seconds: float
    """Of one clip."""
    tags: Positive
    tags_per_clip: float
    use: Literal["open", "research"]
    licence: str
    bytes: Positive
    """Of the whole folder."""
    digests: dict[str, Sha256]
    """sha256 of the tables and the sound."""


@dataclass(frozen=True, kw_only=True)
class RenderMusic(Reporting):
    """Make a tagged corpus of music: scores, played by FluidSynth."""

    extra: ClassVar[str] = "render"

    out: Annotated[Path, conf.arg(metavar="DIR")]
    """The folder to write, absent or empty. Training reads it as `rendered_music` in its --data."""
    preset: Literal["study", "starter", "small"] = "study"
    """`study`: six traditions, partly NON-COMMERCIAL scores. `starter`: open scores only. `small`: 60 open clips."""
    clips: Annotated[int | None, conf.arg(metavar="N")] = None
    """Clips in all. Default: the preset's (1,500, 3,000 or 60)."""
    seconds: Annotated[float | None, conf.arg(metavar="S")] = None
    """Length of a clip. Default: the preset's (6, 7.4 or 4)."""
    seed: Annotated[int, conf.arg(metavar="N")] = 0
    """The same seed, font and software make the same bytes."""
    font: Annotated[Path | None, conf.arg(metavar="FILE")] = None
    """A General MIDI soundfont. Default: the one of fluid-soundfont-gm, else of timgm6mb-soundfont."""

    def answer(self) -> Answer:
        from music_fewshot.render import corpus, presets, scores, synth

        chosen = presets.preset(self.preset, self.clips, self.seconds)
        corpus.refuse_content(self.out)
        scores.corpus_folder()
        synthesiser = synth.find(self.font)
        try:
            with _Shown() as shown:
                made = corpus.make(self.preset, chosen, self.seed, synthesiser, self.out, shown)
        except OSError as error:
            raise OperatorError(f"--out {self.out}: {error}; make room or name another folder") from error
        record = RenderedMusic(
            folder=str(self.out),
            preset=made.preset,
            seed=made.seed,
            clips={split: one.clips for split, one in made.splits.items()},
            tunes={split: one.tunes for split, one in made.splits.items()},
            seconds=made.seconds,
            tags=made.tags,
            tags_per_clip=made.tags_per_clip,
            use=made.use,
            licence=made.licence,
            bytes=sum(path.stat().st_size for path in self.out.iterdir()),
            digests=made.digests,
        )
        return Answer(record, fields(record))


class _Shown:
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._terminal = console.is_terminal
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                             console=console)  # fmt: skip
        self._task = self._bar.add_task("tunes", total=None)
        self._told = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._terminal:
            self._bar.update(self._task, description=what, completed=done, total=total)
        elif done == total or time.monotonic() - self._told > EVERY:
            self._told = time.monotonic()
            sys.stderr.write(f"{done} of {total} {what}\n")

    def __enter__(self) -> Self:
        if self._terminal:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._terminal:
            self._bar.stop()
