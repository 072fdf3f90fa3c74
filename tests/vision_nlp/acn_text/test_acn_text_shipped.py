"""The model that comes with the package."""

from pathlib import Path

import numpy as np
import pytest

from common.registry.store import Repository
from deploy import SHIPPED
from vision_nlp.emotions import MODEL, predict

PLAIN = {
    "Thank you so much, that was really kind of you!": "gratitude",
    "I love this so much": "love",
    "lol that is hilarious": "amusement",
    "I am terrified of spiders": "fear",
    "I'm so sorry for what I did": "remorse",
    "He is furious and I hate him": "anger",
}


def test_anybody_may_use_it_and_it_says_what_it_learnt_from() -> None:
    version = Repository(SHIPPED).load(MODEL, 1)
    card = version.card
    assert (card.use, len(card.labels), card.labels[0], card.labels[-1]) == ("open", 28, "admiration", "neutral")
    assert "Apache-2.0" in card.lineage.data[0].licence
    assert "--config starter" in card.lineage.command
    assert version.graph.stat().st_size < 6_500_000
    assert sum(path.stat().st_size for path in version.folder.iterdir()) < 8_000_000
    assert card.properties["mode"] == "acn"


def test_its_figures_are_those_of_the_issue() -> None:
    figures = {(m.name, m.split): m for m in Repository(SHIPPED).load(MODEL, 1).card.metrics}
    for split in ("test", "test_strict"):
        found = figures["micro_f1", split]
        assert found.value >= 0.45
        assert found.interval is not None
        assert found.interval.low <= found.value <= found.interval.high
    assert figures["micro_f1", "test"].n == 5_427
    assert figures["micro_f1", "test"].value > figures["most_frequent_micro_f1", "test"].value


@pytest.mark.parametrize(("text", "label"), PLAIN.items())
def test_it_hears_what_is_plainly_said(tmp_path: Path, text: str, label: str) -> None:
    (tmp_path / "plain.txt").write_text(text)
    (answer,) = predict(file=tmp_path / "plain.txt", models=SHIPPED).answers
    assert label in answer.labels
    best = answer.scores[int(np.argmax([score.score for score in answer.scores]))]
    assert best.label == label
