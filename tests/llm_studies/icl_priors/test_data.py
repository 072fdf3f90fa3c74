"""The loaders: counts, rules, and files that are no data."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.goemotions import ROWS
from common.errors import OperatorError
from llm_studies.icl_priors import data
from llm_studies.icl_priors.generated import Sizes, generate, lexicon, truth
from llm_studies.icl_priors.items import (
    AGGREGATE,
    Item,
    at_least_half,
    matrix,
    shared_by,
    text_digest,
    vector,
    with_aggregate,
)
from llm_studies.simulate import lexicon as respondents

SIZES = Sizes(120, 40, 40)


@pytest.fixture
def published() -> Path:
    root = os.environ.get("KITHARA_DATA", "")
    if not root or not (Path(root) / "annotator_level").is_dir() or not (Path(root) / "emotion_text").is_dir():
        pytest.skip("set KITHARA_DATA to a folder with annotator_level and emotion_text")
    return Path(root)


def brexit_rows() -> Iterator[dict[str, object]]:
    for split, size in data.HS_BREXIT_ROWS.items():
        for n in range(size):
            for a in data.GROUPS:
                yield {"id": f"{split}-{n}", "text": f"text {n} of {split}", "split": split, "annotator": a,
                       "hate": n % 2, "aggressive": int(a == "Ann1"), "offensive": 0}  # fmt: skip


def write_brexit(folder: Path, change: Callable[[list[dict[str, object]]], object] = lambda rows: None) -> Path:
    rows = list(brexit_rows())
    change(rows)
    (folder / "annotator_level").mkdir()
    (folder / "annotator_level/hs_brexit.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_hs_brexit_of_the_stated_shape_is_read(tmp_path: Path) -> None:
    corpus = data.hs_brexit(write_brexit(tmp_path))
    assert [len(corpus.split(name)) for name in ("train", "dev", "test")] == [782, 168, 167]
    assert corpus.items[1].labels["Ann1"] == (True, True, False)
    assert corpus.items[1].labels[AGGREGATE] == (True, False, False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[5].update(offensive="No"), r"line 6: Expected `int`, got `str` - at `\$.offensive`"),
        (lambda rows: rows[5].update(offensive=2), "line 6"),
        (lambda rows: rows.pop(7), "train-1 is not labelled by all six"),
        (lambda rows: rows.insert(7, rows[6]), "train-1 by Ann1 stands there twice"),
        (lambda rows: [rows.pop() for _ in range(6)], "782/168/166 texts in train/dev/test, not 782/168/167"),
        (lambda rows: rows[3].update(annotator="Ann9"), "line 4"),
        (lambda rows: rows[3].update(more=1), "line 4: .*unknown field"),
    ],
)
def test_hs_brexit_that_is_not_as_stated_is_refused(tmp_path: Path, change, said: str) -> None:
    with pytest.raises(OperatorError, match=said):
        data.hs_brexit(write_brexit(tmp_path, change))


@pytest.mark.parametrize("name", sorted(data.LOADERS))
def test_a_folder_without_the_file_or_no_folder_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(OperatorError, match="give --data the folder that holds"):
        data.LOADERS[name](tmp_path)
    with pytest.raises(OperatorError, match="give --data"):
        data.LOADERS[name](None)


def test_a_git_lfs_pointer_is_not_data(tmp_path: Path) -> None:
    folder = write_brexit(tmp_path)
    (folder / "annotator_level/hs_brexit.jsonl").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1587924\n"
    )
    with pytest.raises(OperatorError, match="Git LFS pointer"):
        data.hs_brexit(folder)


def write_goemotions(folder: Path, line: str = "well\t27\tfirst") -> Path:
    (folder / "emotion_text").mkdir()
    names = [name for members in CLUSTERS.values() for name in members]
    (folder / "emotion_text/goemotions_clusters.json").write_text(json.dumps(CLUSTERS))
    (folder / "emotion_text/goemotions_labels.txt").write_text("\n".join((*names, "neutral")) + "\n")
    for split, size in ROWS.items():
        rows = [line if (split, n) == ("train", 0) else f'"text {n}\t{n % 28}\t{split}{n}' for n in range(size)]
        (folder / f"emotion_text/goemotions_{split}.tsv").write_text("\n".join(rows) + "\n")
    return folder


CLUSTERS = {label: [f"{label}{i}" for i in range(9 if label == "joy" else 3)] for label in data.GOEMOTIONS}


def test_goemotions_pools_a_cluster_on_when_any_member_is_on(tmp_path: Path) -> None:
    corpus = data.goemotions(write_goemotions(tmp_path, "a\t0,8,9,27\tfirst"))
    assert corpus.items[0].labels[AGGREGATE] == (True, True, False, False, False, False, False)
    assert corpus.items[27].labels[AGGREGATE] == (False,) * 7, "neutral belongs to no cluster"
    assert corpus.items[1].text == '"text 1', "quotation marks are text"


def test_a_label_outside_the_set_is_refused() -> None:
    with pytest.raises(OperatorError, match="label 'envy' is not one of joy, fear"):
        vector(["joy", "envy"], ("joy", "fear"), "here")


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=9))
def test_aggregate_is_at_least_half_with_ties_on(votes: list[tuple[bool, bool]]) -> None:
    wanted = tuple(bool(share >= 0.5) for share in np.mean(votes, axis=0))
    assert tuple(at_least_half(np.array(votes))) == wanted
    voted = Item("one", "train", "text", {f"A{k}": cells for k, cells in enumerate(votes)})
    assert with_aggregate(voted).labels == {**voted.labels, AGGREGATE: wanted}


def test_rationales_are_taken_only_where_the_label_agrees() -> None:
    def one(name: str, on: bool, why: str = "") -> Item:
        return Item(name, "train", name, {AGGREGATE: (on,)}, {AGGREGATE: why} if why else {})

    corpus = generate(0, Sizes(1, 1, 1))._replace(items=(one("a", True), one("b", True), one("c", True)))
    demos = corpus._replace(items=(one("a", True, "because"), one("b", False, "never")))
    assert [item.rationales for item in data.with_rationales(corpus, demos).items] == [{AGGREGATE: "because"}, {}, {}]


def test_published_sets_have_the_stated_counts_and_shares_of_empty_gold(published: Path) -> None:
    """Sections 2.3, 4, 9.2; the three bad rows of HS-Brexit are dropped in these files."""
    corpora = {name: load(published) for name, load in data.LOADERS.items()}
    sizes = {name: [len(c.split(s)) for s in ("train", "dev", "test")] for name, c in corpora.items()}
    assert sizes["hs_brexit"] == [782, 168, 167]
    assert sizes["goemotions"] == [43_410, 5_426, 5_427]
    assert sizes["convabuse"] == [2_398, 812, 840]
    assert (~matrix(corpora["hs_brexit"].items, AGGREGATE).any(1)).mean() == pytest.approx(0.762, abs=5e-4)
    first = matrix(corpora["goemotions"].split("dev")[:800], AGGREGATE)
    assert (~first.any(1)).mean() == pytest.approx(0.262, abs=1e-3)
    rates = [100 * matrix(corpora["hs_brexit"].items, f"Ann{i}").mean(0) for i in range(1, 7)]
    assert np.round(np.array(rates).T, 1).tolist() == [
        [4.4, 5.3, 6.4, 20.5, 24.4, 16.5],
        [9.7, 7.6, 12.6, 11.5, 16.8, 8.9],
        [12.4, 13.0, 13.6, 33.5, 36.1, 23.4],
    ]


def test_published_convabuse_has_two_to_eight_judges_a_dialogue(published: Path) -> None:
    corpus = data.convabuse(published)
    judges = [len(item.severity) for item in corpus.items]
    assert [judges.count(n) for n in range(2, 9)] == [1_050, 2_323, 369, 245, 48, 10, 5]
    severities = [s for item in corpus.items for s in item.severity.values()]
    assert [severities.count(s) for s in (1, 0, -1, -2, -3)] == [9_576, 647, 784, 886, 275]
    assert all(item.severity.keys() == item.labels.keys() - {AGGREGATE} for item in corpus.items)


def test_published_demonstrations_explain_texts_of_the_corpus(published: Path) -> None:
    corpus = data.with_rationales(data.goemotions(published), data.goemotions_demos(published))
    explained = [item for item in corpus.items if item.rationales]
    assert 15 <= len(explained) <= 45
    assert {item.split for item in explained} == {"train"}


def test_generated_texts_are_the_same_on_every_machine() -> None:
    """They depend on SHA-256 and the lexicon alone."""
    first, again = generate(3, SIZES), generate(3, SIZES)
    assert first == again
    assert first.items != generate(4, SIZES).items
    assert first.items[0].id == "generated-train-1"
    assert first.items[0].text == "The river rose to the steps and it left me terrified."
    digests = [text_digest(item.text) for item in first.items]
    assert len(set(digests)) == sum(SIZES), "no text twice, in whatever split"


def test_generated_words_mean_the_same_to_the_simulated_respondent() -> None:
    for item in generate(0, SIZES).items:
        assert tuple(respondents.truth(item.text, label) for label in data.GOEMOTIONS) == truth(item.text)


def test_generated_minority_reads_anger_as_fear_and_the_control_group_does_not() -> None:
    corpus = generate(0, Sizes(900, 1, 1))
    anger, fear = data.GOEMOTIONS.index("anger"), data.GOEMOTIONS.index("fear")
    plain = np.array([truth(item.text) for item in corpus.items])
    angry = plain[:, anger] & ~plain[:, fear]
    shares = {name: matrix(corpus.items, name)[angry][:, fear].mean() for name in corpus.annotators}
    for name, settings in lexicon()["annotators"].items():
        expected = settings.get("reads", {}).get("anger", ("", 0.0))[1] * (1 - settings["miss"])
        assert shares[name] == pytest.approx(expected, abs=0.15)


def test_only_texts_that_all_annotators_labelled_are_kept() -> None:
    items = tuple(
        with_aggregate(Item(str(i), "train", str(i), dict.fromkeys(names, (True,))))
        for i, names in enumerate([("A1", "A2"), ("A2",), ("A1", "A2", "A3")])
    )
    corpus = generate(0, Sizes(1, 1, 1))._replace(items=items)
    assert [item.id for item in shared_by(corpus, ("A1", AGGREGATE)).items] == ["0", "2"]
    with pytest.raises(OperatorError, match="has no 'B7'"):
        shared_by(corpus, ("B7",))
    with pytest.raises(OperatorError, match="no text of generated was labelled by all"):
        shared_by(corpus, ("A4",))
