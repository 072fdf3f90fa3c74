"""The generated texts, what is left out for a strict evaluation, and GoEmotions with all its labels."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from common.data.emotions import WORDS, Emotions, Sizes, generated, goemotions
from common.data.goemotions import Comment
from contracts.models import DataSource

SIZES = Sizes(400, 50, 60)
SOURCE = DataSource(name="some", licence="none", sha256="0" * 64, items=3)


def test_generated_texts_are_the_same_on_every_machine() -> None:
    """The expected text was read once: random.Random is seeded by SHA-512 and gives the same numbers everywhere."""
    one, again, other = generated(3, SIZES), generated(3, SIZES), generated(4, SIZES)
    assert one == again
    assert one.source.sha256 != other.source.sha256
    assert [len(one.split(name)) for name in ("train", "dev", "test")] == list(SIZES)
    assert (one.source.name, one.source.items) == ("generated", 510)
    text = "In the garden, the music began, I was much obliged, I was astonished 52."
    assert one.texts[0] == Comment("train-0", "train", text, ("gratitude", "surprise"))


def test_labels_are_what_the_words_say() -> None:
    emotions = generated(0, SIZES)
    for text in emotions.texts:
        said = {label for label, words in WORDS.items() if any(re.search(rf"\b{word}\b", text.text) for word in words)}
        assert set(text.labels) == (said or {"neutral"})
    truth = emotions.truth(emotions.split("train"))
    rates = truth.mean(0)
    assert truth.dtype == np.bool_
    assert 0.2 < rates[-1] < 0.3, "a quarter is neutral"
    assert ((rates[:-1] > 0.15) & (rates[:-1] < 0.25)).all(), "one label a text on average, spread over five"
    assert 0.2 < (truth.sum(1) == 2).mean() < 0.3


def test_texts_of_training_are_left_out_up_to_white_space() -> None:
    texts = (
        Comment("a", "train", "thank you", ("joy",)),
        Comment("b", "test", " thank\tyou ", ("joy",)),
        Comment("c", "test", "thank you!", ("fear", "joy")),
    )
    emotions = Emotions(("fear", "joy"), texts, SOURCE)
    assert emotions.unseen(emotions.split("test")).tolist() == [False, True]
    assert emotions.truth(emotions.split("test")).tolist() == [[False, True], [True, True]]


def test_published_comments_carry_28_labels() -> None:
    """emotion_text/SOURCE.md: 32 texts are in train and test; more than one comment may have such a text."""
    found = os.environ.get("KITHARA_DATA")
    if not found or not Path(found, "emotion_text").is_dir():
        pytest.skip("set KITHARA_DATA to a folder with emotion_text")
    emotions = goemotions(Path(found))
    test = emotions.split("test")
    assert emotions.truth(test).shape == (5_427, 28)
    assert emotions.truth(test).any(1).all()
    assert emotions.labels[emotions.truth(emotions.split("train")).sum(0).argmax()] == "neutral"
    known = {text.text for text, new in zip(test, emotions.unseen(test), strict=True) if not new}
    assert len(known) == 32
    assert "Apache-2.0" in emotions.source.licence
