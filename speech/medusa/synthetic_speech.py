"""Made speech (specification, section 9, level L1): eSpeak NG says sentences in voices that no other split has.

``speech.medusa.script`` says what is said and how.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile

from common.audio import decode_at
from common.errors import OperatorError
from contracts.models import DataSource
from contracts.speech import SAMPLE_RATE
from speech.medusa.corpora.corpus import Corpus, Utterance, checked
from speech.medusa.espeak import spoken, version
from speech.medusa.script import Line, Plan, script
from speech.medusa.synthetic import CLASSES

PLAN = Plan()
VOLUME = 0.5
"""Of what the program makes, which uses the full scale."""


def espeak(folder: Path, plan: Plan = PLAN, seed: int = 0) -> Corpus:
    """A function of ``plan``, ``seed`` and the program's version. What ``folder`` holds from before is not made again.

    Raises: OperatorError for a missing program or a folder that cannot be written.
    """
    made_by = version()
    lines = list(script(plan, seed))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            files = list(pool.map(partial(_made, folder, made_by), lines))
        digest = hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()
    except OSError as error:
        raise OperatorError(f"cannot keep made speech in {folder}: {error.strerror}; name another folder") from error
    return checked(
        Corpus(
            name="espeak",
            classes=CLASSES,
            judged=True,
            soft=True,
            utterances=tuple(
                _utterance(i, line, file) for i, (line, file) in enumerate(zip(lines, files, strict=True))
            ),
            bad=(),
            source=DataSource(name="espeak", licence="made by a program, nobody's", sha256=digest, items=len(lines)),
            use="open",
        )
    )


def _utterance(number: int, line: Line, file: Path) -> Utterance:
    first, second = np.sort(line.mixture)[[-1, -2]]
    return Utterance(
        id=f"{line.split}_{number:05d}",
        speaker=line.voice,
        split=line.split,
        text=line.text,
        target=line.mixture.astype(np.float32),
        attributes=line.attributes.astype(np.float32),
        consensus=bool(first - second > 1e-6),
        audio=partial(_read, file),
    )


def _made(folder: Path, made_by: str, line: Line) -> Path:
    """The clip's file, whose name says all that its sound depends on."""
    recipe = f"{made_by} {line.voice} {line.manner} {line.noise!r} {line.seed} {line.text}"
    file = folder / f"{hashlib.sha256(recipe.encode()).hexdigest()[:32]}.flac"
    if not file.exists():
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_bytes(_recorded(spoken(line.text, line.voice, line.manner), line))
        part.replace(file)
    return file


def _recorded(sound: bytes, line: Line) -> bytes:
    """As a microphone hears it: FLAC, mono at 16 kHz."""
    samples = VOLUME * decode_at(sound, SAMPLE_RATE)
    samples = samples + line.noise * np.random.default_rng(line.seed).normal(size=len(samples))
    stream = BytesIO()
    soundfile.write(stream, np.clip(samples, -1.0, 1.0), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return stream.getvalue()


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise OperatorError(f"cannot read made speech {file}: {error.strerror}; load the set anew") from error
