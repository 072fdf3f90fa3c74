"""FluidSynth as a child process: MIDI in, samples out, bounded in time and in bytes.

It writes into a pipe that is read up to a limit, so a note that never ends fills no disk, and a killed parent takes the
child with it (the pipe breaks).
"""

import hashlib
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import OperatorError

RATE = 48_000
"""Hz at which FluidSynth plays. It does not band-limit, so it plays at a high rate and the sound is resampled."""
FONT_FOLDERS = ("/usr/share/sounds/sf2", "/usr/share/soundfonts")
FONTS = ("FluidR3_GM.sf2", "TimGM6mb.sf2")
"""Files of Debian's soundfont packages, the better first."""
PACKAGES = "fluidsynth", "fluid-soundfont-gm", "timgm6mb-soundfont"
INSTALL = (
    f"install the Debian packages {PACKAGES[0]} and {PACKAGES[1]} (or {PACKAGES[2]}), "
    f"`apt-get install --no-install-recommends {PACKAGES[0]} {PACKAGES[1]}`"
)
FRAME = 8
"""Bytes: two channels of float32."""
TAIL = 10.0
"""Seconds that FluidSynth may play after the last event before it is held to have run away."""
PATIENCE = 60.0
"""Seconds to load the font, on top of real time: it plays a hundred times faster than that."""


class Failed(Exception):
    """FluidSynth did not make the sound; the text says why. ``corpus`` finds the clip and tells the operator."""


class Synthesiser(NamedTuple):
    program: str
    version: str
    font: Path
    font_sha256: str


def find(font: Path | None = None) -> Synthesiser:
    """FluidSynth on the PATH, with ``font`` or the first of Debian's. Raises OperatorError that says what to do."""
    program = shutil.which("fluidsynth")
    if program is None:
        raise OperatorError(f"FluidSynth is not installed; {INSTALL}")
    found = font or next((path for path in _fonts() if path.is_file()), None)
    if found is None:
        raise OperatorError(f"no General MIDI soundfont found; {INSTALL}, or name one: --font FILE")
    try:
        with found.open("rb") as file:
            head = file.read(12)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise OperatorError(f"--font {found} cannot be read ({error.strerror}); give a soundfont (.sf2)") from error
    if head[:4] != b"RIFF" or head[8:] != b"sfbk":
        raise OperatorError(f"--font {found} is no soundfont; give an .sf2 file, or {INSTALL}")
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=PATIENCE)
    version = re.search(r"version (\d[\w.]*)", told.stdout)
    if version is None:
        raise OperatorError(f"{program} tells no version; {INSTALL}")
    return Synthesiser(program, version[1], found, digest)


def _fonts() -> list[Path]:
    return [Path(folder) / name for name in FONTS for folder in FONT_FOLDERS]


def play(synthesiser: Synthesiser, midi: bytes, seconds: float) -> np.ndarray:
    """float32 (n,) mono at ``RATE``: at least ``seconds`` of sound, without reverberation and chorus.

    Raises Failed when FluidSynth fails, stops early, writes more than ``seconds + TAIL``, or takes too long.
    """
    limit = round((seconds + TAIL) * RATE) * FRAME
    with tempfile.NamedTemporaryFile(suffix=".mid") as score, tempfile.TemporaryFile() as said:
        score.write(midi)
        score.flush()
        command = _command(synthesiser, score.name)
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said) as child:
            late = _Watch(PATIENCE + seconds, child)
            late.start()
            try:
                sound = child.stdout.read(limit + 1) if child.stdout else b""
                ran_away = len(sound) > limit
            finally:
                late.cancel()
                child.kill()  # nothing more is read; it has ended, or it never would
        said.seek(0)
        words = said.read(2000).decode(errors="replace").strip()
    if late.fired:
        raise Failed(f"FluidSynth did not end within {PATIENCE + seconds:.0f} s")
    if ran_away:
        raise Failed(f"FluidSynth wrote more than {seconds + TAIL:.0f} s of sound")
    if len(sound) < round(seconds * RATE) * FRAME:
        played = len(sound) / FRAME / RATE
        raise Failed(f"FluidSynth ended after {played:.1f} of {seconds:.1f} s (it says: {words or 'nothing'})")
    return np.frombuffer(sound, "<f4").reshape(-1, 2).mean(axis=1)


class _Watch(threading.Timer):
    """Kills a child that takes too long, and remembers it."""

    def __init__(self, seconds: float, child: subprocess.Popen[bytes]) -> None:
        super().__init__(seconds, self._kill)
        self.daemon = True
        self.fired = False
        self._child = child

    def _kill(self) -> None:
        self.fired = True
        self._child.kill()


def _command(synthesiser: Synthesiser, score: str) -> list[str]:
    """No configuration of this machine's is read, and one core is used: the same sound everywhere."""
    settings = ["synth.cpu-cores=1", "synth.reverb.active=0", "synth.chorus.active=0"]
    return [
        *(synthesiser.program, "-n", "-i", "-q", "-f", "/dev/null"),
        *(word for setting in settings for word in ("-o", setting)),
        *("-r", str(RATE), "-T", "raw", "-O", "float", "-E", "little", "-F", "-"),
        *(str(synthesiser.font), score),
    ]
