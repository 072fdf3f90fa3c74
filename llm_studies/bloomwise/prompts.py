"""The wording, which is data: loaded from versioned files, filled in so that a problem never becomes instruction."""

import hashlib
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from common.errors import OperatorError
from contracts._base import Positive, Record
from contracts.llm import Message
from llm_studies.bloomwise.extract import Options

T = TypeVar("T", bound=Record)
HERE = Path(__file__).parent
TAG = re.compile(r"<(\s*/?\s*(?:problem|solution|critique)\b)", re.IGNORECASE)


class Levels(Record, frozen=True, kw_only=True):
    """A ladder file."""

    version: Positive
    presets: dict[str, tuple[str, ...]]
    levels: dict[str, str]
    """What each way of thinking asks, by its name."""


class Frame(Record, frozen=True, kw_only=True):
    """``prompts/frame.toml``."""

    version: Positive
    system: str
    line: str
    task: str
    level: str
    programme: str
    repair: str
    verdict: str


class Baselines(Record, frozen=True, kw_only=True):
    """``prompts/baselines.toml``."""

    version: Positive
    direct: str
    cot: str
    cot_answer: str
    few_shot: str
    example: str
    pot: str
    plan: str
    critique: str
    rewrite: str
    metacognitive: str
    paraphrases: tuple[str, ...]


class Wording(NamedTuple):
    """All of it, with the digests that become part of every request's key."""

    ladder: Levels
    frame: Frame
    baselines: Baselines
    levels_digest: str
    """Of ladder and frame."""
    baselines_digest: str
    """Of baselines and frame."""

    def names(self, wanted: str | tuple[str, ...]) -> tuple[str, ...]:
        """The levels of a preset, or those named. Raises OperatorError for a name that the ladder file lacks."""
        presets, levels = self.ladder.presets, self.ladder.levels
        if isinstance(wanted, str) and wanted not in presets:
            raise OperatorError(f"no preset {wanted!r} in the ladder file; it has {', '.join(presets)}")
        names = presets[wanted] if isinstance(wanted, str) else wanted
        if unknown := [name for name in names if name not in levels]:
            raise OperatorError(f"no level {unknown[0]!r} in the ladder file; it has {', '.join(levels)}")
        return names


def load(ladder: Path | None = None) -> Wording:
    """The packaged wording, or with another ladder file. Raises OperatorError naming file and fault."""
    return _load(ladder or HERE / "ladder.toml")


@cache
def _load(ladder: Path) -> Wording:
    frame, baselines = HERE / "prompts" / "frame.toml", HERE / "prompts" / "baselines.toml"
    return Wording(
        _read(ladder, Levels),
        _read(frame, Frame),
        _read(baselines, Baselines),
        _digest(ladder, frame),
        _digest(baselines, frame),
    )


def problem_block(question: str, options: Options | None = None) -> str:
    """What stands between the problem's tags: the text, and one option a line. No tag of ours survives in it."""
    lines = [question.strip(), *(f"{letter}) {' '.join(text.split())}" for letter, text in (options or {}).items())]
    return as_data("\n".join(lines))


def as_data(text: str) -> str:
    """A text in which our delimiters can neither end nor begin."""
    return TAG.sub(r"&lt;\1", text)


def system(wording: Wording) -> Message:
    """The common frame."""
    return Message(role="system", content=wording.frame.system.strip())


def user(template: str, **fields: str) -> Message:
    """A turn from a template. Fields are put in once: braces and field names inside a value stay what they are."""
    return Message(role="user", content=fill(template, **fields).strip())


def fill(template: str, **fields: str) -> str:
    """``{name}`` by value, in one pass."""
    return re.sub(r"\{(\w+)\}", lambda m: fields.get(m[1], m[0]), template)


def level_instruction(wording: Wording, name: str, *, sentence: bool, programme: bool) -> str:
    """What one level asks; without its sentence only its name is left (ablation)."""
    words = wording.ladder.levels[name].strip() if sentence else ""
    asked = fill(wording.frame.level, level=name, sentence=words).strip()
    return f"{asked}\n\n{wording.frame.programme.strip()}" if programme else asked


def _read(file: Path, kind: type[T]) -> T:
    try:
        return msgspec.convert(tomllib.loads(file.read_text("utf-8")), kind)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise OperatorError(f"{file}: no {kind.__name__.lower()} file ({error}); correct it") from None


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
