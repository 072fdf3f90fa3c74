"""The encoder and its loss: what may and what may not change a logit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.features import UNKNOWN
from llm_studies.reference.config import Model
from llm_studies.reference.losses import multi_label, positive_weights
from llm_studies.reference.model import Encoder

NAMES = torch.tensor([[5, 6], [7, 0], [8, 0]])
VOCABULARY, LONGEST = 40, 12


def encoder(names: torch.Tensor = NAMES, **changes: float) -> Encoder:
    torch.manual_seed(1)
    config = Model(**{"width": 16, "layers": 2, "heads": 2, **changes})  # pyright: ignore[reportArgumentType]
    model = Encoder(VOCABULARY, LONGEST, names, config)
    for parameter in model.parameters():  # biases and marks begin at 0, where they would hide mistakes
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model.eval()


def answer(model: Encoder, *texts: list[int], width: int = 0, rubbish: int = 0) -> torch.Tensor:
    """Logits of the texts in one batch of this width at least, with ``rubbish`` under the padding."""
    wide = max(width, *map(len, texts))
    ids = torch.full((len(texts), wide), rubbish)
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text)
        mask[row, : len(text)] = True
    with torch.no_grad():
        return model(ids, mask)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(2, VOCABULARY - 1), min_size=1, max_size=LONGEST), min_size=1, max_size=4),
    st.integers(0, LONGEST),
    st.integers(0, VOCABULARY - 1),
)
def test_a_text_answers_alone_as_in_any_padded_batch(texts: list[list[int]], width: int, rubbish: int) -> None:
    model = encoder()
    together = answer(model, *texts, width=width, rubbish=rubbish)
    alone = torch.cat([answer(model, text) for text in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_label_names_are_input_and_their_order_is_none() -> None:
    model, order = encoder(), [2, 0, 1]
    text = [3, 9, 11]
    turned = encoder(NAMES[order])
    turned.bias.data = model.bias.data[order]
    torch.testing.assert_close(answer(turned, text), answer(model, text)[:, order], atol=1e-5, rtol=0)
    renamed = NAMES.clone()
    renamed[1, 0] = 20
    other = encoder(renamed)
    assert (answer(other, text) - answer(model, text)).abs().min() > 1e-4  # the other labels see the name as well


def test_the_padding_of_a_name_is_no_part_of_it() -> None:
    wide = torch.cat([NAMES, torch.zeros(3, 2, dtype=torch.int64)], 1)
    torch.testing.assert_close(answer(encoder(wide), [3, 4]), answer(encoder(), [3, 4]))


def test_the_order_of_words_matters() -> None:
    model = encoder()
    assert (answer(model, [3, 9, 11]) - answer(model, [11, 9, 3])).abs().max() > 1e-3


@pytest.mark.parametrize("strange", [-1, VOCABULARY, 2**40])
def test_an_id_outside_the_vocabulary_is_the_unknown_token(strange: int) -> None:
    model = encoder()
    torch.testing.assert_close(answer(model, [3, strange]), answer(model, [3, UNKNOWN]))


def test_a_text_over_the_longest_does_not_fail_its_batch() -> None:
    model, long = encoder(), list(range(2, LONGEST + 7))
    both = answer(model, long, [3, 4])
    torch.testing.assert_close(both[1:], answer(model, [3, 4]), atol=1e-5, rtol=0)


def test_word_dropout_is_of_training_alone() -> None:
    model = encoder(word_dropout=0.5, dropout=0.0)
    ids, mask = torch.arange(2, 12)[None], torch.ones(1, 10, dtype=torch.bool)
    assert torch.equal(model(ids, mask), model(ids, mask))
    assert not torch.equal(model.train()(ids, mask), model(ids, mask))


def test_an_untrained_encoder_starts_at_the_rates() -> None:
    model = encoder()
    model.start_at(torch.tensor([0.5, 0.1, 0.0]))
    expected = [0.0, np.log(0.1 / 0.9), np.log(1e-3 / (1 - 1e-3))]
    np.testing.assert_allclose(model.bias.detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_loss_is_the_weighted_cross_entropy_of_all_cells() -> None:
    rng = np.random.default_rng(0)
    z, y, w = rng.normal(size=(5, 3)), rng.integers(0, 2, (5, 3)), np.array([1.0, 2.5, 0.5])
    p = 1 / (1 + np.exp(-z))
    expected = -(w * y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    tensors = (torch.tensor(part, dtype=torch.float32) for part in (z, y, w))
    assert float(multi_label(*tensors)) == pytest.approx(expected, rel=1e-5)


def test_positive_cells_weigh_by_the_rate() -> None:
    rates = torch.tensor([0.5, 0.2, 0.1])
    torch.testing.assert_close(positive_weights(rates, 0.0), torch.ones(3))
    torch.testing.assert_close(positive_weights(rates, 1.0), torch.tensor([1.0, 4.0, 9.0]))
    torch.testing.assert_close(positive_weights(rates, 0.5), torch.tensor([1.0, 2.0, 3.0]))
    assert torch.isfinite(positive_weights(torch.tensor([0.0, 1.0]), 1.0)).all()
