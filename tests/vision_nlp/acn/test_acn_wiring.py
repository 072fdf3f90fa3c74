"""What the wiring promises for every backbone and every mode (specification, section 10)."""

import itertools
from typing import get_args

import pytest
import torch
from torch.nn import functional as F

from vision_nlp.acn.config import Mode, Model
from vision_nlp.acn.model import build
from vision_nlp.acn.wiring import State

BACKBONES = ("mlp", "mixer", "mixer with tail", "vit", "deep vit", "encoder")
MODES = get_args(Mode)
LAYERS = 3
every = pytest.mark.parametrize(("backbone", "mode"), list(itertools.product(BACKBONES, MODES)))


@every
@torch.no_grad()
def test_sub_network_is_the_same_bit_for_bit_however_it_is_reached(backbone: str, mode: str, network, inputs) -> None:
    net, data = network(backbone, mode), inputs(backbone)
    nested = net.forward_all(*data)
    assert nested.shape == (LAYERS + 1, len(data[0]), 5)
    for k in range(LAYERS + 1):
        cut = net.truncate(k)
        assert cut.depth == k
        for answer in (net(*data, upto=k), cut(*data), cut.forward_all(*data)[k]):
            assert torch.equal(answer, nested[k])
    assert torch.equal(net(*data), nested[LAYERS])
    # The sub-networks do differ, so that the comparisons above say something.
    assert len({tuple(logits.flatten().tolist()) for logits in nested}) == LAYERS + 1


@every
@torch.no_grad()
def test_stages_equal_one_pass(backbone: str, mode: str, network, inputs) -> None:
    net, data = network(backbone, mode), inputs(backbone)
    mask = data[1] if len(data) > 1 else None
    state = net.begin(*data)
    for i in range(1, LAYERS + 1):
        x, y = state
        # What leaves one stage enters the next as plain tensors.
        state = net.advance(State(x.clone(), y.clone()), i, mask)
        assert torch.equal(net.read(state), net(*data, upto=i))


@pytest.mark.parametrize("options", [{}, {"residual_weight": 0.5, "residual_learnt": True}])
@pytest.mark.parametrize("mode", MODES)
def test_truncated_network_has_a_strict_subset_of_the_weights_in_storage_of_its_own(
    mode: str, options: dict, network
) -> None:
    net = network("mixer", mode, **(options if mode == "acn" else {}))
    whole = net.state_dict()
    for k in range(LAYERS):
        cut = net.truncate(k).state_dict()
        assert cut.keys() < whole.keys()
        assert all(torch.equal(cut[name], whole[name]) for name in cut)
        assert not {t.data_ptr() for t in cut.values()} & {t.data_ptr() for t in whole.values()}
        gone = {name.split(".")[1] for name in whole.keys() - cut.keys()}
        assert gone == {str(i) for i in range(k, LAYERS)}
    assert net.truncate(LAYERS).state_dict().keys() == whole.keys()


def test_depth_outside_the_network_is_refused(network, inputs) -> None:
    net, data = network("mlp"), inputs("mlp")
    for k in (-1, LAYERS + 1):
        with pytest.raises(ValueError, match=rf"depth {k} of a network of {LAYERS} blocks; it must be 0..{LAYERS}"):
            net.truncate(k)
        with pytest.raises(ValueError, match=f"depth {k}"):
            net(*data, upto=k)
    for i in (0, LAYERS + 1):
        with pytest.raises(ValueError, match=f"block {i}"):
            net.advance(net.begin(*data), i)


@every
@torch.no_grad()
def test_block_changes_no_sub_network_before_it(backbone: str, mode: str, network, inputs) -> None:
    net, data = network(backbone, mode), inputs(backbone)
    before = net.forward_all(*data)
    for j in range(1, LAYERS + 1):
        moved = network(backbone, mode)
        for parameter in moved.blocks[j - 1].parameters():
            parameter.mul_(1.5)
        after = moved.forward_all(*data)
        assert torch.equal(after[:j], before[:j])
        assert all(not torch.equal(after[k], before[k]) for k in range(j, LAYERS + 1))


@pytest.mark.parametrize("backbone", BACKBONES)
@torch.no_grad()
def test_zeroed_blocks_leave_the_embedding_or_nothing(backbone: str, network, inputs) -> None:
    """A residual network keeps x_0 only where no norm comes after the sum."""

    def y(mode: str) -> torch.Tensor:
        net = network(backbone, mode)
        for parameter in net.blocks.parameters():
            parameter.zero_()
        return net.run(*inputs(backbone)).y

    start = network(backbone).begin(*inputs(backbone)).y
    assert torch.equal(y("acn"), start)
    assert torch.equal(y("acn_dg"), start)
    assert not y("ffn").any()
    ends_with_norm = backbone in ("mixer with tail", "encoder")
    assert torch.equal(y("residual"), torch.zeros_like(start) if ends_with_norm else start)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_mode_changes_the_wiring_only(backbone: str, network) -> None:
    """Every baseline starts from the same weights; denseformer has its averages besides."""
    nets = {mode: network(backbone, mode).state_dict() for mode in MODES}
    for mode, state in nets.items():
        shared = {name: t for name, t in state.items() if not name.startswith("weights.")}
        assert shared.keys() == nets["acn"].keys()
        assert (shared.keys() == state.keys()) == (mode != "denseformer")
        assert all(torch.equal(t, nets["acn"][name]) for name, t in shared.items())


@torch.no_grad()
def test_ffn_and_acn_run_the_same_blocks_and_differ_in_the_sum(network, inputs) -> None:
    ffn, acn, data = network("vit", "ffn"), network("vit", "acn"), inputs("vit")
    outputs = [ffn.run(*data, upto=k).y for k in range(LAYERS + 1)]
    assert torch.equal(acn.run(*data).x, outputs[-1])
    torch.testing.assert_close(acn.run(*data).y, torch.stack(outputs).sum(0))


def test_direct_gradient_reaches_each_block_as_if_the_others_were_fixed(network, inputs) -> None:
    """acn_dg: the gradient of block i is that of head(norm(pool(constant + f_i(constant))))."""
    data = inputs("mixer")
    direct, whole = network("mixer", "acn_dg"), network("mixer", "acn")
    torch.testing.assert_close(direct(*data), whole(*data), rtol=0, atol=0)
    direct(*data).square().sum().backward()
    for i in range(1, LAYERS + 1):
        net = network("mixer", "acn")
        with torch.no_grad():
            x, y = net.run(*data, upto=i - 1).x, net.run(*data).y
        out = net.blocks[i - 1](x)
        net.read(State(out, y - out.detach() + out)).square().sum().backward()
        for mine, alone in zip(direct.blocks[i - 1].parameters(), net.blocks[i - 1].parameters(), strict=True):
            torch.testing.assert_close(mine.grad, alone.grad, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_half_precision_sums_in_float32(network, inputs) -> None:
    net, data = network("mlp", layers=12).bfloat16(), inputs("mlp")[0].bfloat16()
    states = [net.begin(data)]
    for i in range(1, 13):
        states.append(net.advance(states[-1], i))
    outputs, y = [state.x for state in states], states[-1].y
    assert (outputs[-1].dtype, y.dtype) == (torch.bfloat16, torch.float32)
    exact = torch.stack([x.double() for x in outputs]).sum(0)
    torch.testing.assert_close(y.double(), exact, rtol=1e-6, atol=1e-5)
    half = outputs[0]
    for x in outputs[1:]:
        half = half + x
    # What summing in half precision would have lost.
    assert (half.double() - exact).abs().max() > 100 * (y.double() - exact).abs().max()
    assert net.read(states[-1]).dtype == torch.bfloat16


@torch.no_grad()
def test_mixed_precision_sums_in_float32(network, inputs) -> None:
    net, data = network("vit"), inputs("vit")
    with torch.autocast("cpu", torch.bfloat16):
        state = net.run(*data)
        logits = net.read(state)
    assert (state.x.dtype, state.y.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(logits.float(), net(*data), rtol=0.05, atol=0.1)


@pytest.mark.parametrize("seed", range(2))
def test_early_blocks_learn_first_in_acn_alone(seed: int) -> None:
    """Specification, sections 8 and 10: the gradient norm of block 1 over that of block L at step 0, and its fall."""
    x = torch.randn(256, 64, generator=torch.Generator().manual_seed(seed))
    labels = torch.arange(256) % 10

    def norms(mode: str) -> list[float]:
        torch.manual_seed(seed)
        net = build(Model(backbone="mlp", mode=mode, layers=12, width=64), (1, 8, 8), 10)  # pyright: ignore[reportArgumentType]
        F.cross_entropy(net(x), labels).backward()
        squares = [[p.grad.square().sum() for p in block.parameters() if p.grad is not None] for block in net.blocks]
        return [torch.stack(block).sum().sqrt().item() for block in squares]

    acn, residual, ffn = norms("acn"), norms("residual"), norms("ffn")
    assert acn[0] / acn[-1] >= 2
    assert acn[0] / acn[-1] > max(residual[0] / residual[-1], ffn[0] / ffn[-1])
    thirds = [sum(acn[i : i + 4]) for i in (0, 4, 8)]
    assert thirds == sorted(thirds, reverse=True)
