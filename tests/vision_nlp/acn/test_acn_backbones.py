"""Each block against its formula, written out in float64 numpy from the specification; each option alone."""

import itertools

import numpy as np
import pytest
import torch
from scipy.special import erf, softmax

from contracts.models import ImageInput
from vision_nlp.acn.backbones.encoder import EncoderBlock
from vision_nlp.acn.backbones.mixer import MixerBlock
from vision_nlp.acn.backbones.mlp import MlpBlock
from vision_nlp.acn.backbones.parts import Patches
from vision_nlp.acn.backbones.vit import VitBlock
from vision_nlp.acn.config import Model
from vision_nlp.acn.model import build
from vision_nlp.features import normalise

WIDTH, HIDDEN, TOKENS, HEADS = 6, 10, 5, 2
Weights = dict[str, np.ndarray]


def moved(block: torch.nn.Module) -> tuple[torch.nn.Module, Weights]:
    """The block in eval mode with no parameter at its start, and its parameters in float64."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return block.eval(), {name: p.detach().double().numpy() for name, p in block.named_parameters()}


def x() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(3, TOKENS, WIDTH)).astype(np.float32)


def linear(w: Weights, name: str, a: np.ndarray) -> np.ndarray:
    return a @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def norm(w: Weights, name: str, a: np.ndarray) -> np.ndarray:
    centred = a - a.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]


def gelu(a: np.ndarray) -> np.ndarray:
    return a * 0.5 * (1 + erf(a / np.sqrt(2)))


def feed(w: Weights, first: str, second: str, a: np.ndarray) -> np.ndarray:
    return linear(w, second, gelu(linear(w, first, a)))


def attention(w: Weights, a: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """One head after another, one query after another."""
    q, k, v = np.split(linear(w, "attention.qkv", a), 3, -1)
    out, d = np.zeros_like(q), WIDTH // HEADS
    for row, head, query in np.ndindex(len(a), HEADS, a.shape[1]):
        part = slice(head * d, (head + 1) * d)
        keys = np.arange(a.shape[1]) if seen is None else np.flatnonzero(seen[row])
        weights = softmax(k[row, keys][:, part] @ q[row, query, part] / np.sqrt(d))
        out[row, query, part] = weights @ v[row, keys][:, part]
    return linear(w, "attention.out", out)


def agrees(block: torch.nn.Module, expected: np.ndarray, *more: torch.Tensor) -> None:
    with torch.no_grad():
        np.testing.assert_allclose(block(torch.from_numpy(x()), *more), expected, atol=2e-5)


@pytest.mark.parametrize("skips", [False, True])
def test_mlp_block(skips: bool) -> None:
    block, w = moved(MlpBlock(WIDTH, HIDDEN, 0.5, skips=skips))
    agrees(block, feed(w, "feed.0", "feed.2", norm(w, "norm", x())) + skips * x())


@pytest.mark.parametrize(("skips", "tail"), list(itertools.product([False, True], repeat=2)))
def test_mixer_block(skips: bool, tail: bool) -> None:
    block, w = moved(MixerBlock(TOKENS, WIDTH, 4, HIDDEN, 0.5, skips=skips, tail_skip=tail))
    turned = norm(w, "token_norm", x()).transpose(0, 2, 1)
    mixed = feed(w, "over_tokens.0", "over_tokens.3", turned).transpose(0, 2, 1) + skips * x()
    g = feed(w, "over_channels.0", "over_channels.3", norm(w, "channel_norm", mixed)) + skips * mixed
    # The tail's own skip stays in every mode.
    agrees(block, norm(w, "tail_norm", np.maximum(linear(w, "tail", g) + x(), 0)) if tail else g)


@pytest.mark.parametrize(("skips", "out_norm", "dirac"), list(itertools.product([False, True], repeat=3)))
def test_vit_block(skips: bool, out_norm: bool, dirac: bool) -> None:
    block, w = moved(
        VitBlock(WIDTH, HIDDEN, HEADS, 0.5, skips=skips, attn_out_norm=out_norm, dirac_ffn=dirac),
    )
    attended = attention(w, norm(w, "norm1", x()))
    a = (norm(w, "attention_norm", attended) if out_norm else attended) + skips * x()
    inner = norm(w, "norm2", a)
    through = np.concatenate([inner, np.zeros((*inner.shape[:-1], HIDDEN - WIDTH))], -1)
    h = gelu(linear(w, "feed.rise", inner) + dirac * through)
    agrees(block, linear(w, "feed.fall", h) + dirac * h[..., :WIDTH] + skips * a)


def test_dirac_needs_no_parameter_and_no_spare_unit() -> None:
    """A hidden part as wide as the block is all identity."""
    plain, dirac = (
        VitBlock(WIDTH, WIDTH, HEADS, 0.0, skips=False, attn_out_norm=False, dirac_ffn=flag) for flag in (False, True)
    )
    assert plain.state_dict().keys() == dirac.state_dict().keys()
    with torch.no_grad():
        for parameter in dirac.feed.parameters():
            parameter.zero_()
        np.testing.assert_allclose(dirac.feed(torch.from_numpy(x())), gelu(x()), atol=1e-6)


@pytest.mark.parametrize("skips", [False, True])
def test_encoder_block(skips: bool) -> None:
    block, w = moved(EncoderBlock(WIDTH, HEADS, 0.5, skips=skips))
    # The class token is not in the mask; the second row has a hole.
    mask = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
    seen = np.concatenate([np.ones((3, 1), bool), mask], 1)
    a = norm(w, "norm1", attention(w, x(), seen) + skips * x())
    agrees(block, norm(w, "norm2", feed(w, "feed.0", "feed.2", a) + skips * a), torch.from_numpy(mask))


@pytest.mark.parametrize("positions", [False, True])
def test_patches_are_cut_from_the_servers_order_of_pixels(positions: bool) -> None:
    image = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), np.uint8)
    flat = normalise(image, ImageInput(height=4, width=6, channels=3, mean=0.5, std=0.25))
    embed, w = moved(Patches((3, 4, 6), 2, WIDTH, positions=positions))
    assert embed.tokens == 7
    scaled = (image / 255 - 0.5) / 0.25
    tokens = [np.tile(w["first"], (2, 1))]
    for top, left in itertools.product((0, 2), (0, 2, 4)):
        # One patch: its rows from the top, pixels from the left, channels together.
        numbers = [scaled[:, top + i, left + j, c] for i, j, c in np.ndindex(2, 2, 3)]
        tokens.append(linear(w, "project", np.stack(numbers, -1)))
    expected = np.stack(tokens, 1) + (w["positions"] if positions else 0)
    with torch.no_grad():
        np.testing.assert_allclose(embed(torch.from_numpy(flat)), expected, atol=2e-5)


@pytest.mark.parametrize("image", [(1, 28, 30), (1, 30, 28)])
def test_picture_that_no_patches_fill_is_refused(image: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="pixels are no multiple of patch 4"):
        build(Model(backbone="mixer", patch=4), image, 10)


@pytest.mark.parametrize(("backbone", "pooled"), [("mlp", "first"), ("mixer", "first"), ("vit", "mean")])
@torch.no_grad()
def test_head_reads_what_the_released_code_reads(backbone: str, pooled: str, network, inputs) -> None:
    """mixer: LN, then the class token; vit: the mean of all tokens, the class token too, then LN."""
    net, data = network(backbone), inputs(backbone)
    w = {name: p.double().numpy() for name, p in net.named_parameters()}
    y = net.run(*data).y.double().numpy()
    read = norm(w, "norm", y)[:, 0] if pooled == "first" else norm(w, "norm", y.mean(1))
    np.testing.assert_allclose(net(*data), linear(w, "head", read), atol=2e-5)


@torch.no_grad()
def test_perceptron_reads_the_whole_picture_as_one_token(network, inputs) -> None:
    net, (pixels,) = network("mlp"), inputs("mlp")
    w = {name: p.double().numpy() for name, p in net.named_parameters()}
    np.testing.assert_allclose(net.begin(pixels).x[:, 0], linear(w, "embed.project", pixels.numpy()), atol=2e-5)
    assert net.begin(pixels).x.shape[1] == 1


@pytest.mark.parametrize("backbone", ["mlp", "mixer", "vit", "encoder"])
@torch.no_grad()
def test_dropout_is_for_training(backbone: str, network, inputs) -> None:
    net, data = network(backbone), inputs(backbone)
    assert torch.equal(net(*data), net(*data))
    net.train()
    assert not torch.equal(net(*data), net(*data))
    still = network(backbone, dropout=0.0).train()
    assert torch.equal(still(*data), still(*data))


def test_learnt_residual_weights_start_from_the_setting(network) -> None:
    net = network("mlp", residual_weight=0.25, residual_learnt=True)
    fresh = build(Model(backbone="mlp", layers=4, residual_weight=0.25, residual_learnt=True), (1, 8, 8), 10)
    assert [w.item() for w in fresh.weights] == [0.25] * 4
    assert all(w.requires_grad for w in net.weights)
    assert not list(network("mlp", residual_weight=0.25).weights)
