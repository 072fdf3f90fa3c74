"""The front-end against a plain transform, the network against the published sizes."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from music_fewshot.lc_protonets.config import Model
from music_fewshot.lc_protonets.model import MLP, Embedder, Kind, MelFrontEnd, VGGish

RATE = 16_000
PAPER = Model()


def reference(samples: np.ndarray, mels: int) -> np.ndarray:
    """dB (mels, frames), float64: frame by frame through numpy's FFT, triangles bin by bin."""
    padded = np.pad(samples.astype(np.float64), 256, mode="reflect")
    hann = [math.sin(math.pi * n / 512) ** 2 for n in range(512)]
    frames = [padded[256 * t : 256 * t + 512] * hann for t in range(1 + len(samples) // 256)]
    power = np.abs(np.fft.rfft(frames)) ** 2

    def to_mel(hz: float) -> float:
        return 2595 * math.log10(1 + hz / 700)

    corner = [700 * (10 ** (to_mel(8000) * i / (mels + 1) / 2595) - 1) for i in range(mels + 2)]
    bands = np.zeros((mels, len(frames)))
    for band in range(mels):
        low, centre, high = corner[band : band + 3]
        for bin_ in range(257):
            hz = bin_ * RATE / 512
            weight = (hz - low) / (centre - low) if hz <= centre else (high - hz) / (high - centre)
            bands[band] += max(0.0, weight) * power[:, bin_]
    return 10 * np.log10(np.maximum(bands, 1e-10))


@pytest.mark.parametrize(("samples", "mels"), [(4096, 128), (4095, 128), (4097, 96), (5000, 40), (257, 128)])
def test_mel_bands_are_those_of_a_plain_transform(samples: int, mels: int) -> None:
    rng = np.random.default_rng(samples)
    t = np.arange(samples) / RATE
    sound = (0.1 * rng.standard_normal(samples) + 0.4 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    found = MelFrontEnd(RATE, mels)(torch.from_numpy(sound)[None])[0].numpy()
    assert found.shape == (mels, 1 + samples // 256)
    np.testing.assert_allclose(found, reference(sound, mels), atol=1e-3)


def test_one_of_128_bands_is_empty_and_stays_at_minus_100_db() -> None:
    sound = torch.randn(1, 8192, generator=torch.Generator().manual_seed(0))
    quietest = MelFrontEnd(RATE, 128)(sound)[0].amax(1)
    assert (quietest == -100).sum() == 1
    assert quietest.sort().values[1] > -20


def test_silence_is_minus_100_db_everywhere() -> None:
    assert (MelFrontEnd(RATE, 64)(torch.zeros(2, 1000)) == -100).all()


@pytest.mark.parametrize(
    ("samples", "frames"), [(PAPER.window, 230), (round(3.69 * RATE), 231), (PAPER.window - 1, 229)]
)
def test_the_window_gives_230_frames(samples: int, frames: int) -> None:
    assert MelFrontEnd(RATE, 8)(torch.zeros(1, samples)).shape == (1, 8, frames)


def test_the_published_network_has_its_size() -> None:
    """3.66 M parameters, 2.01 G multiply-adds a window (specification, section 1.9)."""
    network = VGGish((128, 230), PAPER.channels, PAPER.dimensions).eval()
    assert sum(p.numel() for p in network.parameters()) == 3_660_674
    macs, sides = 0, []

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal macs
        assert isinstance(module, nn.Conv2d)
        macs += output.numel() * module.in_channels * 9
        sides.append(tuple(output.shape[2:]))

    for layer in network.blocks:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        assert network(torch.zeros(1, 128, 230)).shape == (1, 512)
    assert round(macs / 1e9, 2) == 2.01
    assert sides[-1] == (2, 3)  # halved once more: one position is left


@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (5, 3), (40, 9)])
def test_a_small_picture_passes_any_number_of_blocks(shape: tuple[int, int]) -> None:
    network = VGGish(shape, (3, 4, 5, 6), 2).eval()
    assert network(torch.randn(2, *shape)).shape == (2, 2)


def test_features_are_the_maximum_over_what_the_blocks_leave() -> None:
    network = VGGish((16, 24), (4, 5), 3).eval()
    picture = torch.randn(2, 16, 24)
    left = network.blocks(network.norm(picture.unsqueeze(1)))
    assert left.shape == (2, 5, 4, 6)
    expected = left.reshape(2, 5, -1).max(2).values
    torch.testing.assert_close(network.features(picture), expected)
    torch.testing.assert_close(network(picture), expected @ network.dense.weight.T + network.dense.bias)


SMALL = Model(window=2_000, mels=16, channels=(4, 6), dimensions=5)


@pytest.mark.parametrize(
    ("kind", "shape", "scaled"), [("waveform", (2_000,), True), ("image", (12, 20), False), ("features", (7,), False)]
)
def test_a_checkpoint_gives_the_network_back(kind: Kind, shape: tuple[int, ...], scaled: bool) -> None:
    model = Embedder(kind, shape, 3, SMALL, learned_scale=scaled)
    model.train()
    for _ in range(2):
        model(torch.randn(8, *shape))  # batch statistics that are not those of a fresh network
    back = Embedder.restore({name: t.clone() for name, t in model.state_dict().items()}, SMALL)
    assert back.kind == kind
    assert not back.training
    rows = torch.randn(3, *shape)
    assert torch.equal(back(rows), model.eval()(rows))
    assert back.state_dict().keys() == model.state_dict().keys()


def test_rows_do_not_see_one_another_in_eval_mode() -> None:
    model = Embedder("waveform", (2_000,), 3, SMALL, learned_scale=False).eval()
    rows = torch.randn(6, 2_000)
    with torch.inference_mode():
        together = model(rows)
        alone = torch.cat([model(row[None]) for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_the_table_network_is_its_layers() -> None:
    network = MLP(4, (6,), 3).eval()
    rows = torch.randn(5, 4)
    norm, linear, inner = network.layers[0], network.layers[1], network.layers[2]
    hidden = torch.relu(inner(norm(rows) @ linear.weight.T + linear.bias))
    torch.testing.assert_close(network(rows), hidden @ network.dense.weight.T + network.dense.bias)
