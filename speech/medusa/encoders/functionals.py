"""The suite's own description of a whole recording as an encoder: a sequence of one vector."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from common.audio.frames import FRONT_END, speech_frames
from common.audio.functionals import FUNCTIONALS, NAME, functionals


class Functionals:
    """``functionals`` of the frames of every recording."""

    key, dim = f"{NAME} of {FRONT_END}", len(FUNCTIONALS)
    kind: Literal["audio", "text"] = "audio"

    def encode(self, items: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Samples, float32 (n,) at 16 kHz -> float32 (1, ``dim``)."""
        return [functionals(speech_frames(samples))[None] for samples in items]
