"""The text encoder: padding without influence, any id, any length, and the masked-word head."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf
from torch.nn import functional as F

from common.text.features import UNKNOWN
from vision_nlp.acn.backbones.encoder import MaskedLanguageHead, build_encoder
from vision_nlp.acn.wiring import AutoCompressing
from vision_nlp.acn_text.config import Model

VOCABULARY, LONGEST, LABELS = 11, 6, 5


@pytest.fixture(scope="module", params=["acn", "residual"])
def net(request: pytest.FixtureRequest, network) -> AutoCompressing:
    return network("encoder", request.param)


@settings(max_examples=12, deadline=None)
@given(data=st.data())
@torch.no_grad()
def test_no_position_under_a_false_mask_has_any_influence(net: AutoCompressing, data: st.DataObject) -> None:
    """On no sub-network, wherever the holes are and whatever number stands there."""
    tokens = data.draw(st.integers(1, LONGEST))
    rows = st.lists(st.lists(st.booleans(), min_size=tokens, max_size=tokens), min_size=2, max_size=2)
    mask = torch.tensor(data.draw(rows))
    seed = data.draw(st.integers(0, 1000))
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(VOCABULARY, mask.shape, generator=g)
    noise = torch.randint(-(2**40), 2**40, mask.shape, generator=g)
    noisy = torch.where(mask, ids, noise)
    assert torch.equal(net.forward_all(ids, mask), net.forward_all(noisy, mask))
    # Nor on what stands in the positions themselves.
    assert torch.equal(net.run(ids, mask).y, net.run(noisy, mask).y)
    # What is under a true mask does count.
    if mask[0, 0]:
        other = ids.clone()
        other[0, 0] = (ids[0, 0] + 1) % VOCABULARY
        assert not torch.equal(net.forward_all(ids, mask)[:, 0], net.forward_all(other, mask)[:, 0])


@torch.no_grad()
def test_a_row_alone_equals_the_row_in_a_padded_batch(net: AutoCompressing) -> None:
    lengths = range(1, LONGEST + 1)
    ids = torch.randint(VOCABULARY, (LONGEST, LONGEST), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(LONGEST) < torch.tensor(list(lengths))[:, None]
    together = net.forward_all(ids, mask)
    for row, length in enumerate(lengths):
        alone = net.forward_all(ids[[row], :length], mask[[row], :length])
        torch.testing.assert_close(together[:, [row]], alone, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_ids_outside_the_vocabulary_are_the_unknown_token(net: AutoCompressing) -> None:
    mask = torch.ones(1, 4, dtype=torch.bool)
    known = net(torch.tensor([[2, UNKNOWN, 3, UNKNOWN]]), mask)
    assert torch.equal(net(torch.tensor([[2, VOCABULARY, 3, -1]]), mask), known)


@torch.no_grad()
def test_text_over_the_longest_is_answered(net: AutoCompressing) -> None:
    """All tokens behind have the last position; the batch it is in does not fail."""
    ids = torch.randint(VOCABULARY, (2, LONGEST + 3))
    assert net(ids, torch.ones_like(ids, dtype=torch.bool)).isfinite().all()


@torch.no_grad()
def test_order_and_repetition_of_words_count(net: AutoCompressing) -> None:
    mask = torch.ones(3, 3, dtype=torch.bool)
    forth, back, twice = net(torch.tensor([[2, 3, 4], [4, 3, 2], [2, 3, 3]]), mask)
    assert not torch.allclose(forth, back)
    assert not torch.allclose(forth, twice)


@torch.no_grad()
def test_label_head_is_a_pooler_on_the_class_token(network, inputs) -> None:
    net, data = network("encoder"), inputs("encoder")
    w = {name: p.double().numpy() for name, p in net.head.named_parameters()}
    pooled = np.tanh(net.run(*data).y[:, 0].double().numpy() @ w["0.weight"].T + w["0.bias"])
    np.testing.assert_allclose(net(*data), pooled @ w["3.weight"].T + w["3.bias"], atol=1e-5)


def test_masked_word_head_shares_the_embedding() -> None:
    torch.manual_seed(0)
    head, y, embedding = MaskedLanguageHead(VOCABULARY, 4), torch.randn(2, 3, 4), torch.randn(VOCABULARY, 4)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    w = {name: p.detach().double().numpy() for name, p in head.named_parameters()}
    a = y.double().numpy() @ w["transform.0.weight"].T + w["transform.0.bias"]
    a = a * 0.5 * (1 + erf(a / np.sqrt(2)))
    a = (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)
    a = a * w["transform.2.weight"] + w["transform.2.bias"]
    embedding.requires_grad_()
    logits = head(y, embedding)
    np.testing.assert_allclose(logits.detach(), a @ embedding.detach().double().numpy().T + w["bias"], atol=1e-5)
    logits.sum().backward()
    assert embedding.grad is not None
    assert embedding.grad.any()


@pytest.mark.parametrize("mode", ["acn", "residual"])
def test_untrained_masked_word_loss_is_that_of_guessing(mode: str) -> None:
    """With torch's own N(0, 1) embeddings it would be many times ln(vocabulary)."""
    torch.manual_seed(0)
    vocabulary, width = 500, 64
    net = build_encoder(Model(mode=mode, layers=4, width=width, heads=4), vocabulary, 16, LABELS).eval()  # pyright: ignore[reportArgumentType]
    ids = torch.randint(vocabulary, (8, 16))
    with torch.no_grad():
        y = net.run(ids, torch.ones_like(ids, dtype=torch.bool)).y[:, 1:]
        logits = MaskedLanguageHead(vocabulary, width)(y, net.embed.tokens.weight)  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
    loss = F.cross_entropy(logits.flatten(0, 1), torch.randint(vocabulary, (128,)))
    assert loss.item() == pytest.approx(np.log(vocabulary), rel=0.1)


def test_width_that_the_heads_do_not_divide_is_refused(network) -> None:
    with pytest.raises(ValueError, match="width 12 is no multiple of heads 5"):
        network("encoder", heads=5)
