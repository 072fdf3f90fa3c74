"""From text to ids and back to labels, as trainer and server do it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from tokenizers import Tokenizer

from common.errors import Invalid, OperatorError
from common.text.features import PAD, UNKNOWN, pad, probabilities, published_tokenizer, read_tokenizer, tokens, whole
from common.text.tokenizer import SPECIAL, learn_tokenizer
from contracts.text import MOST_CHARACTERS

TEXTS = ["The river was calm today.", "Was the calm river cold?", "Cold [NAME] today, calm tomorrow!"] * 3


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return learn_tokenizer(TEXTS, 340)


def test_special_tokens_have_the_ids_that_the_graph_knows(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token_to_id(name) for name in SPECIAL] == [PAD, UNKNOWN, 2, 3]
    assert tokens(tokenizer, "calm [NAME] today", 9) == [
        *tokens(tokenizer, "calm", 9),
        2,
        *tokens(tokenizer, "today", 9),
    ]
    assert tokens(tokenizer, "[UNK]", 9) == [UNKNOWN]


def test_known_words_come_back_from_their_ids(tokenizer: Tokenizer) -> None:
    ids = tokens(tokenizer, "The RIVER  was\tcalm today.", 99)
    assert tokenizer.decode(ids) == " the river was calm today."
    assert len(ids) == 6


def test_the_file_is_the_tokenizer_and_learning_it_twice_gives_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert learn_tokenizer(TEXTS, 340).to_str() == tokenizer.to_str()
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.to_str(), encoding="utf-8")
    assert tokens(read_tokenizer(path), TEXTS[0], 99) == tokens(tokenizer, TEXTS[0], 99)
    path.write_text("{}")
    with pytest.raises(OperatorError, match=r"tokenizer\.json is no tokenizer"):
        read_tokenizer(path)
    with pytest.raises(OperatorError, match=r"none\.json is no tokenizer"):
        read_tokenizer(tmp_path / "none.json")


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\x00\x07"])
def test_a_text_without_a_token_is_refused(tokenizer: Tokenizer, text: str) -> None:
    with pytest.raises(Invalid, match="text: is empty") as caught:
        tokens(tokenizer, text, 9)
    assert [error.field for error in caught.value.errors] == ["text"]


def test_length_is_limited_twice(tokenizer: Tokenizer) -> None:
    assert tokens(tokenizer, "calm river " * 50, 6) == tokens(tokenizer, "calm river " * 3, 6)
    assert len(tokens(tokenizer, "a" * MOST_CHARACTERS, 6)) <= 6
    with pytest.raises(Invalid, match="has 8001 characters, at most 8000"):
        tokens(tokenizer, "a" * (MOST_CHARACTERS + 1), 6)


def test_a_text_read_to_its_end_may_not_be_too_long(tokenizer: Tokenizer) -> None:
    text = "calm river " * 4
    ids = tokens(tokenizer, text)
    assert whole(tokenizer, text, len(ids)) == ids
    with pytest.raises(Invalid, match=f"texts\\[3\\]: has {len(ids)} tokens, the model reads at most {len(ids) - 1}"):
        whole(tokenizer, text, len(ids) - 1, "texts[3]")
    with pytest.raises(Invalid, match="text: is empty"):
        whole(tokenizer, " ", 4)


def test_a_published_tokenizer_is_read_again_when_its_digest_changes(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    for digest, texts in (("a", TEXTS), ("b", ["other words, other pieces"] * 3)):
        path.write_text(learn_tokenizer(texts, 300).to_str(), encoding="utf-8")
        assert published_tokenizer(path, digest).to_str() == path.read_text(encoding="utf-8")


@settings(deadline=None)
@given(st.text(min_size=1, max_size=30))
def test_any_text_is_tokens_or_refused(tokenizer: Tokenizer, text: str) -> None:
    try:
        ids = tokens(tokenizer, text, 8)
    except Invalid:
        return
    assert 1 <= len(ids) <= 8
    assert all(0 < i < tokenizer.get_vocab_size() for i in ids)


def test_a_lone_surrogate_is_only_an_unknown_character(tokenizer: Tokenizer) -> None:
    assert tokens(tokenizer, "calm \ud800 river", 9) == tokens(tokenizer, "calm ? river", 9)


def test_padding_marks_what_is_token() -> None:
    inputs = pad([[7, 8, 9], [5]])
    np.testing.assert_array_equal(inputs["ids"], [[7, 8, 9], [5, PAD, PAD]])
    np.testing.assert_array_equal(inputs["mask"], [[True, True, True], [True, False, False]])
    assert (inputs["ids"].dtype, inputs["mask"].dtype) == (np.int64, np.bool_)


def test_probabilities_are_the_logistic_function() -> None:
    z = np.array([-1e4, -90.0, -2.0, 0.0, 3.0, 1e4], np.float32)
    np.testing.assert_allclose(probabilities(z), expit(z.astype(np.float64)), atol=1e-15)
