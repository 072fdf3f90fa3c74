"""Label sets whose labels come together in clusters, as tags of music do; for timing without anybody's data."""

from typing import NamedTuple

import numpy as np

from music_fewshot.lc_protonets.closed import masks


class Shape(NamedTuple):
    labels: int
    items: int
    mean: float
    """Labels on an item, about."""
    most: int


LYRA_60 = Shape(labels=60, items=58, mean=7.3, most=14)
"""As the widest published episode of Lyra (28,149 combinations, 210 closed sets), and somewhat harder."""
THOUSAND = Shape(labels=1_000, items=1_250, mean=10.0, most=20)


def clustered(shape: Shape, seed: int) -> tuple[int, ...]:
    """Bit masks of ``shape.items`` label sets. Every label has a home cluster; an item draws mostly from one."""
    rng = np.random.default_rng(seed)
    cluster = np.arange(shape.labels) % max(1, shape.labels // 12)
    popular = rng.gamma(1.0, 1.0, shape.labels) + 0.1
    truth = np.zeros((shape.items, shape.labels), dtype=bool)
    for item in range(shape.items):
        near = popular * np.where(cluster == rng.integers(cluster.max() + 1), 20.0, 1.0)
        size = int(np.clip(rng.poisson(shape.mean), 1, min(shape.most, shape.labels)))
        truth[item, rng.choice(shape.labels, size, replace=False, p=near / near.sum())] = True
    return masks(truth)
