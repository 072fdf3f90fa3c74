"""DeepSER by value: masks, published shapes, torch's own layers as the oracle (sections 2.3, 4.5, 10.1, 10.6)."""

from itertools import islice, pairwise
from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from speech.medusa.config import Model
from speech.medusa.mixup import Mix
from speech.medusa.model import FUSIONS, DeepSER, Encoder, LateFusion, Padded, TransformerLayer, masked_mean
from speech.medusa.rows import padded

SMALL = Model(width=12, feed_forward=20)


def clips(seed: int, *lengths: int, dim: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, dim, generator=generator) for n in lengths]


def member(streams: int, kind: type[DeepSER] = DeepSER, judged: bool = True) -> DeepSER:
    torch.manual_seed(0)
    return kind({f"s{n}": 5 + n for n in range(streams)}, 8, SMALL, judged).eval()


@pytest.mark.parametrize("kind", FUSIONS.values())
def test_a_clip_answers_alone_as_beside_one_ten_times_longer(kind: type[DeepSER]) -> None:
    """Sections 4.5 and 10.1."""
    network = member(2, kind)
    short, long = clips(1, 7, 70), clips(2, 90, 9, dim=6)
    both = network({"s0": padded(short), "s1": padded(long)})
    for n in range(2):
        alone = network({"s0": padded(short[n : n + 1]), "s1": padded(long[n : n + 1])})
        for together, single in zip(both, alone, strict=True):
            torch.testing.assert_close(together[n], single[0], atol=1e-5, rtol=0)


@given(st.integers(1, 9), st.integers(0, 30), st.sampled_from([0.0, 1e4, -3.0]))
@settings(max_examples=20, deadline=None)
def test_what_lies_under_the_mask_has_no_influence(length: int, more: int, value: float) -> None:
    network = member(1)
    (clip,) = clips(3, length)
    x = torch.full((1, length + more, 5), value)
    x[0, :length] = clip
    mask = torch.arange(length + more)[None] < length
    found, alone = network({"s0": Padded(x, mask)}), network({"s0": padded([clip])})
    torch.testing.assert_close(found.logits, alone.logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("streams", [2, 3, 4])
def test_shapes_and_what_the_second_fusion_encoder_sees(streams: int) -> None:
    """Section 10.6: 2 sum(L) positions, and attributes on their scale."""
    network, seen = member(streams), []
    for name in ("fusion1", "fusion2"):
        getattr(network, name).register_forward_hook(lambda _m, inputs, _out: seen.append(inputs[0].shape[1]))
    lengths = [(4 + n, 2 + 3 * n) for n in range(streams)]
    found = network({f"s{n}": padded(clips(n, *pair, dim=5 + n)) for n, pair in enumerate(lengths)})
    longest = sum(max(pair) for pair in lengths)
    assert seen == [longest, 2 * longest]
    assert (found.logits.shape, found.attributes.shape, found.embedding.shape) == ((2, 8), (2, 3), (2, 12))
    assert bool(((found.attributes >= 1) & (found.attributes <= 7)).all())
    assert bool((found.embedding >= 0).all())
    assert network.join.weight.shape == (12, (streams + 1) * 12)


def test_the_whole_of_it_from_torchs_own_layers() -> None:
    """Algorithms 1 and 2 written down once more, with nn.TransformerEncoderLayer and no mask."""
    network = member(2)
    a, b = clips(5, 6)[0][None], clips(6, 9, dim=6)[0][None]

    def enc(encoder: Encoder, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first, _, second = encoder.project
        x = second(torch.relu(first(x)))
        h1 = theirs(encoder.layer1)(x)
        h2 = theirs(encoder.layer2)(h1)
        return h1, h2, h2.mean(1)

    (a1, a2, a3), (b1, b2, b3) = (
        enc(network.encoders[name], x)  # pyright: ignore[reportArgumentType]
        for name, x in (("s0", a), ("s1", b))
    )
    _, f12, _ = enc(network.fusion1, torch.cat([a1, b1], 1))
    _, _, f23 = enc(network.fusion2, torch.cat([a2, b2, f12], 1))
    s = torch.relu(network.join(torch.cat([a3, b3, f23], 1)))
    assert network.attribute is not None
    found = network({"s0": padded(list(a)), "s1": padded(list(b))})
    torch.testing.assert_close(found.logits, network.emotion(s), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.attributes, 1 + 6 / (1 + torch.exp(-network.attribute(s))), atol=1e-5, rtol=0)


def theirs(layer: TransformerLayer) -> nn.TransformerEncoderLayer:
    """The same weights in torch's encoder layer: post-norm, ReLU."""
    made = nn.TransformerEncoderLayer(12, layer.heads, 20, dropout=0.0, batch_first=True).eval()
    weights = {
        "self_attn.in_proj_weight": layer.project_in.weight,
        "self_attn.in_proj_bias": layer.project_in.bias,
        "self_attn.out_proj.weight": layer.project_out.weight,
        "self_attn.out_proj.bias": layer.project_out.bias,
        **{f"linear1.{n}": p for n, p in layer.widen.named_parameters()},
        **{f"linear2.{n}": p for n, p in layer.narrow.named_parameters()},
        **{f"norm{i}.{n}": p for i in (1, 2) for n, p in getattr(layer, f"norm{i}").named_parameters()},
    }
    made.load_state_dict(weights)
    return made


def test_heads_are_those_of_torch() -> None:
    torch.manual_seed(1)
    layer = TransformerLayer(Model(width=12, feed_forward=20, heads=3)).eval()
    x, mask = torch.randn(2, 7, 12), torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    expected = theirs(layer)(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(layer(x, mask)[mask], expected[mask], atol=1e-5, rtol=0)


def test_late_fusion_has_no_fusion_encoder() -> None:
    names = {name.split(".")[0] for name, _ in member(3, LateFusion).named_parameters()}
    assert names == {"encoders", "join", "emotion", "attribute"}
    sizes = [sum(p.numel() for p in member(n).parameters()) for n in range(2, 5)]
    assert all(b > a for a, b in pairwise(sizes))


def test_the_published_size() -> None:
    """Section 2.3: 28.6 million parameters with D = 512 and two streams of 1024."""
    with torch.device("meta"):
        network = DeepSER({"wavlm": 1024, "roberta": 1024}, 8, Model(width=512, feed_forward=2048), True)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(28.6e6, rel=0.005)


def test_mixup_is_refused_outside_training() -> None:
    """Section 9.1."""
    network, given = member(1), {"s0": padded(clips(1, 3, 4))}
    mix = Mix(torch.ones(2), torch.tensor([1, 0]))
    with pytest.raises(ValueError, match="belongs to training"):
        network(given, mix)


def test_mixup_sits_between_w_and_relu() -> None:
    """Section 2.4: s = ReLU(lambda x_i + (1 - lambda) x_j), not a mix of ReLUs."""
    torch.manual_seed(0)
    network = DeepSER({"s0": 5}, 8, Model(width=12, feed_forward=20, dropout=0.0, attention_dropout=0.0), True).train()
    joined: list[Tensor] = []
    network.join.register_forward_hook(lambda _m, _in, out: joined.append(cast(Tensor, out)))
    share = torch.tensor([0.25, 0.5])
    found = network({"s0": padded(clips(1, 3, 8))}, Mix(share, torch.tensor([1, 0])))
    x = joined[0]
    torch.testing.assert_close(found.embedding, torch.relu(share[:, None] * x + (1 - share[:, None]) * x[[1, 0]]))


def test_a_member_that_learns_no_attributes_answers_none() -> None:
    found = member(1, judged=False)({"s0": padded(clips(1, 3))})
    assert bool(found.attributes.isnan().all())
    assert bool(found.logits.isfinite().all())


def test_masked_mean_is_that_of_the_frames() -> None:
    x = torch.tensor([[[1.0], [3.0], [float("nan")]]])
    assert masked_mean(x, torch.tensor([[True, True, False]])).item() == 2.0


def test_one_stream_is_enough() -> None:
    assert len(list(islice(member(1).parameters(), 1))) == 1
    assert member(1)({"s0": padded(clips(1, 1))}).logits.shape == (1, 8)
