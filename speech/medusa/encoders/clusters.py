"""What pre-training asks for: the cluster of every 40 ms of speech (HuBERT, arXiv 2106.07447, section 2.1)."""

import importlib
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from common.audio.frames import MELS, NAMES
from speech.medusa.encoders.settings import Clusters

COEFFICIENTS = 13
"""MFCC."""
PROSODY = tuple(NAMES.index(name) for name in ("log_energy", "f0", "voicing", "harmonicity"))
"""Features of a frame that a cluster also knows: the voice, which MFCC leave out [chosen]."""
STRIDE = 4
"""Frames of 10 ms in one that has a cluster: that of ``CompactAcoustic``."""
TOGETHER = 8_192
"""Frames compared with the centres at once."""


class Codebook(NamedTuple):
    """Numbers of clusters for frames of a front end."""

    mean: np.ndarray
    std: np.ndarray
    """float32 (features,): scale of what is compared"""
    centres: np.ndarray
    """float32 (clusters, features), on that scale"""

    def units(self, frames: np.ndarray) -> np.ndarray:
        """float32 (frames, FEATURES) -> int64 (ceil(frames / 4),): the nearest centre."""
        x = (described(frames) - self.mean) / self.std
        # |x - c|^2 = |x|^2 - 2 x c + |c|^2, and |x|^2 is the same for every centre
        half = 0.5 * np.square(self.centres).sum(1)
        parts = [x[at : at + TOGETHER] for at in range(0, len(x), TOGETHER)]
        return np.concatenate([(half - part @ self.centres.T).argmin(1) for part in parts])


def described(frames: np.ndarray) -> np.ndarray:
    """float32 (frames, FEATURES) -> (ceil(frames / 4), 34): MFCC and the voice, and how both change."""
    # DCT-II, orthonormal but for a factor: c_j = sum_m log_mel_m cos(pi j (m + 1/2) / M)
    angles = np.pi / MELS * np.outer(np.arange(MELS) + 0.5, np.arange(COEFFICIENTS))
    x = np.concatenate([frames[:, :MELS] @ np.cos(angles), frames[:, PROSODY]], 1)
    left = -len(x) % STRIDE
    x = np.pad(x, ((0, left), (0, 0)), mode="edge").reshape(-1, STRIDE, x.shape[1]).mean(1)
    change = np.gradient(x, axis=0) if len(x) > 1 else np.zeros_like(x)
    return np.concatenate([x, change], 1).astype(np.float32)


def learn_codebook(clips: Sequence[np.ndarray], settings: Clusters, seed: int) -> Codebook:
    """k-means over frames of these clips, float32 (frames, FEATURES) each; equal seeds give equal clusters.

    Raises ValueError for fewer frames than clusters.
    """
    x = np.concatenate([described(clip) for clip in clips])
    if len(x) < settings.count:
        raise ValueError(f"{len(x)} frames of 40 ms cannot make {settings.count} clusters; lower clusters.count")
    if len(x) > settings.frames:
        x = x[np.random.default_rng(seed).choice(len(x), settings.frames, replace=False)]
    mean, spread = x.mean(0), x.std(0)
    std = np.where(spread > 0, spread, np.float32(1))
    # Takes a second to import, which no one waits for who learns no clusters.
    library: Any = importlib.import_module("sklearn.cluster")
    means = library.MiniBatchKMeans(settings.count, random_state=seed, n_init=1, batch_size=4_096)
    with warnings.catch_warnings():
        # Told where two frames are equal, as silence is: fewer clusters then.
        warnings.simplefilter("ignore")
        means.fit((x - mean) / std)
    return Codebook(mean, std, means.cluster_centers_.astype(np.float32))
