"""Noise: distribution, reproducibility, and that it comes after normalisation."""

import numpy as np
import pytest
import torch

from vision_nlp.acn.experiments import noise
from vision_nlp.acn.experiments.lab import ACN, RESIDUAL, Lab
from vision_nlp.acn.experiments.learning import accuracy
from vision_nlp.acn.experiments.noise import NOISES, gaussian, salt_and_pepper, under
from vision_nlp.pictures import Rows

GREY = torch.full((400, 64), 0.25)


def rng(seed: int | list[int] = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.4])
def test_gaussian_noise_has_its_deviation_on_normalised_values(sigma: float) -> None:
    added = gaussian(GREY, rng(), sigma=sigma) - GREY
    # 25,600 draws: the deviation is known to 1 in 226, the mean to sigma / 160
    assert float(added.std()) == pytest.approx(sigma, rel=0.02)
    assert abs(float(added.mean())) < 4 * sigma / 160
    assert added.dtype == torch.float32


@pytest.mark.parametrize("share", [0.01, 0.05, 0.1])
def test_salt_and_pepper_replace_their_share_by_black_and_white(share: float) -> None:
    noisy = salt_and_pepper(GREY, rng(), share=share)
    n = GREY.numel()
    white, black = int((noisy == 1.0).sum()), int((noisy == -1.0).sum())
    assert int((noisy == 0.25).sum()) == n - white - black
    spread = (n * share * (1 - share)) ** 0.5
    assert abs(white + black - n * share) < 4 * spread
    assert abs(white - black) < 4 * (n * share) ** 0.5


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_the_same_bits_for_a_seed_and_other_for_another(name: str) -> None:
    made, _ = NOISES[name]
    assert torch.equal(made(GREY, rng(3)), made(GREY, rng(3)))
    assert not torch.equal(made(GREY, rng(3)), made(GREY, rng(4)))


def test_accuracy_is_the_mean_over_draws_of_the_seed(lab: Lab) -> None:
    model, test, (made, _) = lab.trained(ACN, 0).model, lab.splits(0).test, NOISES["Gaussian 0.4"]
    draws = [accuracy(model, Rows(made(test.x, rng([7, draw])), test.y)) for draw in range(3)]
    assert under(model, test, made, seed=7, draws=3) == pytest.approx(np.mean(draws))
    assert under(model, test, lambda x, _: x, seed=7, draws=2) == pytest.approx(accuracy(model, test))


def test_all_networks_of_a_seed_meet_the_same_noise(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[list[torch.Tensor]] = []

    def spied(model: object, rows: Rows) -> float:
        met[-1].append(rows.x)
        return 0.5

    monkeypatch.setattr(noise, "accuracy", spied)
    conditions = noise.conditions(lab)
    for kind in (ACN, RESIDUAL):
        met.append([])
        conditions[kind](1)
    assert len(met[0]) == 1 + len(NOISES) * lab.scale.draws
    assert all(torch.equal(a, b) for a, b in zip(*met, strict=True))
    unlike = {tuple(x.flatten()[:50].tolist()) for x in met[0]}
    assert len(unlike) > len(NOISES)


def test_a_family_is_the_mean_of_its_noises(lab: Lab) -> None:
    values = noise.conditions(lab)[ACN](0)
    for family in noise.FAMILIES:
        own = [v for name, v in values.items() if name.startswith(family) and name != family]
        assert len(own) == 3
        assert values[family] == pytest.approx(sum(own) / 3)
