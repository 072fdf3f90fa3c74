"""The whole corpus: plan, play, write. The folder appears complete, under its name, or not at all."""

import contextlib
import csv
import hashlib
import importlib.metadata
import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr

from common.errors import OperatorError
from common.registry.cards import render, sync
from music_fewshot.render import midi, synth
from music_fewshot.render.arrange import Clip
from music_fewshot.render.manifest import Manifest, source_page, summaries, terms
from music_fewshot.render.plan import Planned, Progress, plan
from music_fewshot.render.presets import Preset
from music_fewshot.render.scores import SOURCES
from music_fewshot.render.tags import SEPARATOR

SAMPLE_RATE = 16_000
PEAK = 0.708
"""-3 dB of full scale."""
FAINTEST = 1e-4
"""A clip whose peak is below it is silent."""
TOGETHER = 40
"""Clips to one process of FluidSynth: loading the font costs as much as playing ten."""
COLUMNS = ("id", "tune", "tags", "source", "licence", "n_samples")


def make(
    name: str, preset: Preset, seed: int, synthesiser: synth.Synthesiser, out: Path, progress: Progress
) -> Manifest:
    """Write the corpus as the folder ``out``, which must be absent or empty. Raises OperatorError."""
    refuse_content(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    planned = plan(preset, seed, progress)
    with _staged(out) as folder:
        done, total = 0, sum(preset.clips)
        for split, clips in planned.clips.items():
            _table(folder / f"{split}.tsv", clips, preset.seconds)
            with tarfile.open(folder / f"{split}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
                for clip, samples in played(synthesiser, clips, preset.seconds):
                    _add(archive, f"{clip.id}.flac", _flac(samples))
                    done += 1
                    progress("clips", done, total)
        return _described(folder, name, preset, seed, synthesiser, planned)


def refuse_content(out: Path) -> None:
    """Raises OperatorError when ``out`` holds anything."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OperatorError(f"--out {out} is there already, with something in it; name another folder, or remove it")


@contextlib.contextmanager
def _staged(out: Path) -> Iterator[Path]:
    """A hidden folder beside ``out`` that takes its name when all went well, and else goes away."""
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        yield folder
        folder.chmod(0o755)  # mkdtemp makes it private
        for path in (*folder.iterdir(), folder):
            sync(path)
        try:
            os.rename(folder, out)  # noqa: PTH104
        except OSError as error:
            raise OperatorError(f"--out {out} cannot be written ({error.strerror}); name another folder") from error
        sync(out.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def played(synthesiser: synth.Synthesiser, clips: Sequence[Clip], seconds: float) -> Iterator[tuple[Clip, np.ndarray]]:
    """Each clip with its sound, int16 (n,) at ``SAMPLE_RATE``. Raises OperatorError that names a clip that fails."""
    for first in range(0, len(clips), TOGETHER):
        some = clips[first : first + TOGETHER]
        try:
            sounds = _play(synthesiser, some, seconds)
        except synth.Failed:  # one of them spoils all: alone, it is found
            sounds = [_alone(synthesiser, clip, seconds) for clip in some]
        for clip, sound in zip(some, sounds, strict=True):
            yield clip, _levelled(clip, sound)


def _play(synthesiser: synth.Synthesiser, clips: Sequence[Clip], seconds: float) -> list[np.ndarray]:
    """float32 (n,) at ``SAMPLE_RATE`` of each clip. Raises Failed."""
    begins = midi.starts(len(clips), seconds)
    sound = synth.play(synthesiser, midi.midi(clips, seconds), begins[-1] + seconds)
    length = round(seconds * synth.RATE)
    cut = [sound[(start := round(begin * synth.RATE)) : start + length] for begin in begins]
    samples = round(seconds * SAMPLE_RATE)
    return [np.resize(soxr.resample(one, synth.RATE, SAMPLE_RATE), samples) for one in cut]


def _alone(synthesiser: synth.Synthesiser, clip: Clip, seconds: float) -> np.ndarray:
    try:
        return _play(synthesiser, [clip], seconds)[0]
    except synth.Failed as error:
        raise OperatorError(f"clip {clip.id} (tune {clip.tune.id}): {error}; use another --font or --seed") from error


def _levelled(clip: Clip, sound: np.ndarray) -> np.ndarray:
    """int16 (n,), its peak at ``PEAK``. Raises OperatorError for silence."""
    peak = float(np.abs(sound).max())
    if not peak > FAINTEST:  # also what is no number
        raise OperatorError(
            f"clip {clip.id} (tune {clip.tune.id}) is silent: the font has no sound for it; give a General MIDI --font"
        )
    return np.rint(sound * (PEAK * 32767 / peak)).astype(np.int16)


def _flac(samples: np.ndarray) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return content.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """With no time and no owner: the same clips make the same tar."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _table(path: Path, clips: Sequence[Clip], seconds: float) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
        writer.writerow(COLUMNS)
        for clip in clips:
            tune = clip.tune
            told = (tune.id, SEPARATOR.join(clip.tags), tune.source, SOURCES[tune.source].licence)
            writer.writerow((clip.id, *told, round(seconds * SAMPLE_RATE)))


def _described(
    folder: Path, name: str, preset: Preset, seed: int, synthesiser: synth.Synthesiser, planned: Planned
) -> Manifest:
    """Write manifest.json, and last SOURCE.md, by which ``kithara data check`` knows a data set."""
    splits, (licence, use) = summaries(planned), terms(planned)
    rows = {f"{split}.{kind}": one.clips for split, one in splits.items() for kind in ("tar", "tsv")}
    files = {file: (count, *_measured(folder / file)) for file, count in rows.items()}
    clips = [clip for some in planned.clips.values() for clip in some]
    manifest = Manifest(
        preset=name,
        seed=seed,
        seconds=preset.seconds,
        sample_rate=SAMPLE_RATE,
        licence=licence,
        use=use,
        font=synthesiser.font.name,
        font_sha256=synthesiser.font_sha256,
        software=_software(synthesiser),
        tags=len({tag for clip in clips for tag in clip.tags}),
        tags_per_clip=round(sum(len(clip.tags) for clip in clips) / len(clips), 4),
        splits=splits,
        digests={file: digest for file, (_, _, digest) in files.items()},
    )
    (folder / "manifest.json").write_bytes(render(manifest))
    files["manifest.json"] = (1, *_measured(folder / "manifest.json"))
    (folder / "SOURCE.md").write_text(source_page(manifest, planned, files), encoding="utf-8")
    return manifest


def _measured(path: Path) -> tuple[int, str]:
    """Bytes and sha256."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _software(synthesiser: synth.Synthesiser) -> dict[str, str]:
    packages = {name: importlib.metadata.version(name) for name in ("music21", "soxr")}
    return {"fluidsynth": synthesiser.version, **packages, "libsndfile": soundfile.__libsndfile_version__}
