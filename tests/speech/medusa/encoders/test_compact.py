"""The suite's own encoders: lengths, masks, independence of other clips, and the graph."""

import numpy as np
import pytest
import torch
from torch import nn

from common.audio.frames import FEATURES
from speech.medusa.encoders.compact import CompactAcoustic, CompactText
from speech.medusa.encoders.settings import Acoustic, Text
from speech.medusa.model import Padded
from speech.medusa.rows import padded

LENGTHS = (1, 3, 4, 5, 60, 131)
VOCABULARY = 30


def clip(frames: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(frames).normal(-3, 2, (frames, FEATURES)).astype(np.float32))


def words(tokens: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(tokens).integers(4, VOCABULARY, tokens))


def read(ids: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    filled = nn.utils.rnn.pad_sequence(ids, batch_first=True, padding_value=-1)
    return filled, filled >= 0


@pytest.fixture(scope="module")
def acoustic() -> CompactAcoustic:
    torch.manual_seed(0)
    encoder = CompactAcoustic(Acoustic(width=16, layers=2, heads=2, feed_forward=24))
    encoder.fit([clip(200).numpy()])
    return encoder.eval()


@pytest.fixture(scope="module")
def text() -> CompactText:
    torch.manual_seed(0)
    return CompactText(Text(width=16, layers=2, heads=2, feed_forward=24), VOCABULARY).eval()


def test_a_frame_of_40_ms_for_each_four_of_10(acoustic: CompactAcoustic) -> None:
    for frames in LENGTHS:
        found = acoustic(padded([clip(frames)]))
        assert found.x.shape == (1, -(-frames // 4), 16)
        assert found.mask.all()


@torch.inference_mode()
def test_a_clip_alone_is_the_clip_among_longer_ones(acoustic: CompactAcoustic) -> None:
    """Specification, section 10, check 1."""
    clips = [clip(n) for n in LENGTHS]
    together = padded(clips)
    spoilt = Padded(together.x.masked_fill(~together.mask[..., None], 9.0), together.mask)
    found = acoustic(spoilt)
    for number, one in enumerate(clips):
        alone = acoustic(padded([one])).x[0]
        kept = found.mask[number]
        assert int(kept.sum()) == len(alone)
        assert torch.allclose(found.x[number][kept], alone, atol=1e-5)


@torch.inference_mode()
def test_a_text_alone_is_the_text_among_longer_ones(text: CompactText) -> None:
    texts = [words(n) for n in (1, 4, 40)]
    found = text(*read(texts))
    for number, one in enumerate(texts):
        assert torch.allclose(found.x[number, : len(one)], text(*read([one])).x[0], atol=1e-5)


@torch.inference_mode()
def test_an_id_outside_the_vocabulary_is_the_unknown_one(text: CompactText) -> None:
    known, strange = torch.tensor([[5, 1, 6, 1]]), torch.tensor([[5, 999, 6, -4]])
    mask = torch.ones_like(known, dtype=torch.bool)
    assert torch.equal(text(known, mask).x, text(strange, mask).x)


@torch.inference_mode()
def test_only_the_bands_are_heard_and_their_scale_is_that_of_training(acoustic: CompactAcoustic) -> None:
    one, other = clip(40), clip(40)
    other[:, 64:] = 0
    assert torch.equal(acoustic(padded([one])).x, acoustic(padded([other[:, :64]])).x)
    scaled = acoustic.scale(padded([clip(200)[:, :64]])).x[0]
    assert scaled.mean(0) == pytest.approx(torch.zeros(64), abs=1e-4)


@torch.inference_mode()
def test_what_is_hidden_has_no_influence(acoustic: CompactAcoustic) -> None:
    """With every frame hidden nothing is left to hear."""
    one, other = padded([clip(60)]), padded([2 * clip(60) + 1])
    hidden = torch.ones(1, 15, dtype=torch.bool)
    assert torch.equal(acoustic.encode(one, hidden).x, acoustic.encode(other, hidden).x)
    assert not torch.allclose(acoustic(one).x, acoustic(other).x, atol=1e-2)


def test_the_order_of_the_frames_is_heard(acoustic: CompactAcoustic) -> None:
    one = clip(60)
    turned = acoustic(padded([one.flip(0)])).x.flip(1)
    assert not torch.allclose(acoustic(padded([one])).x, turned, atol=1e-2)
