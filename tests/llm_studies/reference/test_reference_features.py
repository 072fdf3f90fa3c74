"""The label names as the encoder reads them."""

from common.text.features import PAD, tokens
from common.text.tokenizer import learn_tokenizer
from llm_studies.reference.data import label_names


def test_label_names_are_words_of_their_own() -> None:
    tokenizer = learn_tokenizer(["The cold river was calm."] * 3, 300)
    names = label_names(tokenizer, ("calm", "cold_river"))
    assert names[0].tolist() == [*tokens(tokenizer, "calm", 9), *[PAD] * (names.shape[1] - 1)]
    assert [i for i in names[1].tolist() if i != PAD] == tokens(tokenizer, "cold river", 9)
