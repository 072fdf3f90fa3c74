"""Noise on the pictures that clean-trained networks are asked (table 2).

It is added after normalisation; the paper does not say where. A network never sees noise before.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from common.claims.harness import Claim, Condition, value
from vision_nlp.acn.experiments.lab import ACN, CLEAN, FFN, RESIDUAL, Experiment, Lab
from vision_nlp.acn.experiments.learning import accuracy
from vision_nlp.acn.wiring import AutoCompressing
from vision_nlp.pictures import Rows

POINTS = "points of test accuracy under noise"
BLACK, WHITE = -1.0, 1.0
"""Pixels 0 and 255 after normalisation by a mean and a deviation of one half."""
Noise = Callable[[Tensor, np.random.Generator], Tensor]


def gaussian(x: Tensor, rng: np.random.Generator, *, sigma: float) -> Tensor:
    """Independent normal noise on every normalised value; float32, the shape of ``x``."""
    return x + sigma * torch.from_numpy(rng.standard_normal(x.shape, dtype=np.float32))


def salt_and_pepper(x: Tensor, rng: np.random.Generator, *, share: float) -> Tensor:
    """Each value turns, with probability ``share``, black or white, either as likely; float32, the shape of ``x``."""
    hit, white = (torch.from_numpy(rng.random(x.shape)) for _ in range(2))
    return torch.where(hit < share, torch.where(white < 0.5, WHITE, BLACK), x)


NOISES: dict[str, tuple[Noise, str]] = {
    "Gaussian 0.1": (partial(gaussian, sigma=0.1), "69.50 against 67.68"),
    "Gaussian 0.2": (partial(gaussian, sigma=0.2), "64.54 against 62.80"),
    "Gaussian 0.4": (partial(gaussian, sigma=0.4), "51.89 against 45.46"),
    "salt and pepper 1 %": (partial(salt_and_pepper, share=0.01), "59.80 against 56.80"),
    "salt and pepper 5 %": (partial(salt_and_pepper, share=0.05), "36.35 against 27.48"),
    "salt and pepper 10 %": (partial(salt_and_pepper, share=0.1), "19.98 against 10.34"),
}
"""Each noise, and the paper's accuracy of ACN and residual on ImageNet, percent."""
CUT, SCRATCH = f"{ACN}, cut", f"{CLEAN}, from scratch at ACN's cut"
FAMILIES = ("Gaussian", "salt and pepper")


def conditions(lab: Lab) -> Mapping[str, Condition]:
    kinds = (ACN, RESIDUAL, CLEAN, FFN)
    networks: dict[str, Callable[[int], AutoCompressing]] = {
        **{kind: partial(_whole, lab, kind) for kind in kinds},
        CUT: lambda seed: lab.trained(ACN, seed).model.truncate(lab.cut(ACN, seed)),
        SCRATCH: lambda seed: lab.trained(CLEAN, seed, lab.cut(ACN, seed)).model,
    }
    return {name: partial(_measure, lab, network) for name, network in networks.items()}


def _whole(lab: Lab, kind: str, seed: int) -> AutoCompressing:
    return lab.trained(kind, seed).model


def _measure(lab: Lab, network: Callable[[int], AutoCompressing], seed: int) -> dict[str, float]:
    model, test = network(seed), lab.splits(seed).test
    noisy = {name: under(model, test, noise, seed, lab.scale.draws) for name, (noise, _) in NOISES.items()}
    means = {family: float(np.mean([v for name, v in noisy.items() if name.startswith(family)])) for family in FAMILIES}
    return {"clean": accuracy(model, test), **noisy, **means}


def under(model: AutoCompressing, rows: Rows, noise: Noise, seed: int, draws: int) -> float:
    """Mean accuracy over ``draws`` draws, the same for every network under a seed."""
    return float(
        np.mean(
            [accuracy(model, Rows(noise(rows.x, np.random.default_rng([seed, draw])), rows.y)) for draw in range(draws)]
        )
    )


def claims() -> Iterator[Claim]:
    for name, (_, paper) in NOISES.items():
        yield _claim(f"ACN withstands {name} better than residual", f"table 2: {paper}", ACN, RESIDUAL, name)
    for family in FAMILIES:
        yield _claim(f"ACN withstands {family} better than clean residual", "not in the paper", ACN, CLEAN, family)
        yield _claim(f"cut ACN withstands {family} better than a network of its depth from scratch",
                     "the decisive control", CUT, SCRATCH, family)  # fmt: skip


def _claim(claim: str, paper: str, method: str, control: str, name: str) -> Claim:
    return Claim(claim, paper, POINTS, (method, value(name, 100)), (control, value(name, 100)), control)


EXPERIMENT = Experiment("noise", conditions, claims)
