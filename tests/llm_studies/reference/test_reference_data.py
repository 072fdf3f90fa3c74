"""The data sets of the studies under their own splits, and the model that was made of one of them."""

import os
from pathlib import Path

import numpy as np
import pytest

from common.registry.store import Repository
from contracts.reference import ReferenceAnswer
from deploy import SHIPPED
from deploy.commands.configs import packaged, read
from llm_studies.icl_priors.items import matrix
from llm_studies.reference.config import Config, Data
from llm_studies.reference.data import SETS, load, source, unseen
from llm_studies.reference.features import MODEL, predict
from llm_studies.reference.system import SYSTEM

PLAIN = {
    "Thank you so much, that was really kind of you!": "admiration",
    "I love this, it made me laugh so hard": "joy",
    "Wait, what? Why would he do that?": "surprise",
    "I'm so sorry, this is heartbreaking": "sadness",
    "This is disgusting and it makes me furious": "anger",
    "I am terrified of spiders": "fear",
    "I hope you get well soon": "optimism",
}


@pytest.fixture(scope="module")
def data() -> Path:
    found = os.environ.get("KITHARA_DATA")
    if not found or not Path(found, "emotion_text").is_dir():
        pytest.skip("set KITHARA_DATA to a folder with emotion_text and annotator_level")
    return Path(found)


def test_goemotions_is_what_its_source_says(data: Path) -> None:
    """emotion_text/SOURCE.md: rows, texts of test that training knows, pooled labels on dev."""
    corpus = load(Config(data=Data(name="goemotions")), data)
    assert [len(corpus.split(name)) for name in ("train", "dev", "test")] == [43_410, 5_426, 5_427]
    test, dev = corpus.split("test"), matrix(corpus.split("dev"), "aggregate")
    known = {item.text for item, new in zip(test, unseen(corpus, test), strict=True) if not new}
    assert len(known) == 32
    assert (round(dev.sum(1).mean(), 3), round((~dev.any(1)).mean(), 3)) == (0.794, 0.293)
    assert source(corpus).licence == SETS["goemotions"].licence
    assert source(corpus).items == 54_263


def test_hs_brexit_has_six_annotators_and_is_for_research(data: Path) -> None:
    """annotator_level/SOURCE.md: positive rates of hate in per cent."""
    corpus = load(Config(data=Data(name="hs_brexit", annotator="Ann4")), data)
    hate = [round(100 * matrix(corpus.items, f"Ann{i}")[:, 0].mean(), 1) for i in range(1, 7)]
    assert hate == [4.4, 5.3, 6.4, 20.5, 24.4, 16.5]
    assert SETS["hs_brexit"].use == "research"


@pytest.mark.parametrize("name", ["tiny", "starter", "paper", "hs_brexit"])
def test_packaged_configurations_are_valid(name: str) -> None:
    assert set(packaged(SYSTEM)) == {"tiny", "starter", "paper", "hs_brexit"}
    assert isinstance(read(SYSTEM, name), Config)


def test_the_shipped_model_may_be_used_by_anybody_and_says_what_it_learnt_from() -> None:
    version = Repository(SHIPPED).load(MODEL, 1)
    card = version.card
    assert (card.use, card.labels) == (
        "open",
        ("joy", "optimism", "admiration", "surprise", "fear", "sadness", "anger"),
    )
    assert "Apache-2.0" in card.lineage.data[0].licence
    assert "--config starter" in card.lineage.command
    assert sum(path.stat().st_size for path in version.folder.iterdir()) <= 8_000_000
    figures = {(m.name, m.split): m.value for m in card.metrics}
    assert figures["micro_f1", "test"] > 0.55
    assert figures["micro_f1", "test_strict"] > 0.55


def test_the_shipped_model_hears_what_is_plainly_said(tmp_path: Path) -> None:
    file = tmp_path / "plain.txt"
    file.write_text("\n".join(PLAIN) + "\n")
    answers = predict(file=file, models=SHIPPED).answers
    assert [said(answer, label) for answer, label in zip(answers, PLAIN.values(), strict=True)] == [True] * len(PLAIN)


def said(answer: ReferenceAnswer, label: str) -> bool:
    """The label is among those that apply, and the most probable one."""
    p = list(answer.probabilities.values())
    return label in answer.labels and list(answer.probabilities)[int(np.argmax(p))] == label


def test_no_other_reference_is_shipped() -> None:
    shipped = [name for name in Repository(SHIPPED).names() if name.endswith("-reference")]
    assert shipped == [MODEL]
