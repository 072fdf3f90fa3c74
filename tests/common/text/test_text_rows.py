"""Texts as padded rows, and the inputs that prove an exported encoder."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from common.errors import OperatorError
from common.text.features import PAD, pad, tokens
from common.text.rows import encoded, filled
from common.text.sample import limits, sampler
from common.text.tokenizer import learn_tokenizer
from contracts.text import TOKENS

TEXTS = ["The river was calm today.", "Cold!", "Calm, cold, calm."]
TRUTH = np.array([[True, False], [False, True], [True, True]])


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return learn_tokenizer(TEXTS * 3, 320)


def test_a_batch_is_what_the_server_would_send(tokenizer: Tokenizer) -> None:
    rows = encoded(TEXTS, ["a", "b", "c"], TRUTH, tokenizer, 5)
    chosen = torch.tensor([2, 1])
    ids, mask = rows.batch(chosen)
    sent = pad([tokens(tokenizer, TEXTS[i], 5) for i in chosen.tolist()])
    np.testing.assert_array_equal(ids.numpy(), sent["ids"])
    np.testing.assert_array_equal(mask.numpy(), sent["mask"])
    np.testing.assert_array_equal(rows.truth.numpy(), TRUTH)
    assert rows.ids.shape == (3, 5)


def test_rows_are_ordered_by_length_and_equal_ones_as_they_came(tokenizer: Tokenizer) -> None:
    rows = encoded(["calm cold calm", "calm", "cold", "cold calm"], list("abcd"), np.ones((4, 1), bool), tokenizer, 9)
    assert rows.by_length(torch.tensor([2, 0, 3, 1])).tolist() == [2, 1, 3, 0]


def test_a_text_without_a_word_is_named(tokenizer: Tokenizer) -> None:
    with pytest.raises(OperatorError, match=r"second: is empty.*drop the row"):
        encoded(["calm", " \n"], ["first", "second"], TRUTH[:2], tokenizer, 5)


def test_rows_are_filled_up_with_padding() -> None:
    assert filled([[7, 8], [9]], 3).tolist() == [[7, 8, PAD], [9, PAD, PAD]]


def test_samples_hold_texts_of_one_token_to_the_longest_and_rubbish_below_the_mask() -> None:
    sample = sampler(50)({"batch": 9, TOKENS: 12})
    lengths = sample["mask"].sum(1)
    assert (lengths[0], lengths[-1]) == (12, 1)
    assert (np.diff(lengths) <= 0).all()
    np.testing.assert_array_equal(sample["mask"], np.arange(12) < lengths[:, None])
    assert (sample["ids"][~sample["mask"]] != PAD).any()
    assert sample["ids"].min() >= 0
    assert sample["ids"].max() < 50


@pytest.mark.parametrize(("longest", "cost"), [(64, 4_096), (5_000, 5_000)])
def test_one_text_of_the_longest_always_fits(longest: int, cost: int) -> None:
    assert (limits(longest).max_rows, limits(longest).max_cost) == (64, cost)
