"""The suite's own front end as an encoder: what streams of a served ensemble are made from."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from common.audio.frames import FEATURES, FRONT_END, speech_frames


class Frames:
    """``speech_frames`` of every recording, unchanged."""

    key, dim = FRONT_END, FEATURES
    kind: Literal["audio", "text"] = "audio"

    def encode(self, items: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Samples, float32 (n,) at 16 kHz -> float32 (frames, FEATURES)."""
        return [speech_frames(samples) for samples in items]
