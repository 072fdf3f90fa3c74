"""Real votes: shares, consensus, and rows that cannot be right."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from common.errors import OperatorError
from speech.medusa import corpora
from speech.medusa.corpora.crema_d import crema_d_votes

HEAD = "clip\tmodality\tactor\tsentence\tintended_emotion\tintended_level\tA\tD\tF\tH\tN\tS\tn_responses\tsplit"
GOOD = (
    "1_ANG\tvoice\t1001\tDFA\tANG\tXX\t6\t2\t0\t0\t1\t0\t9\ttest",
    "1_ANG\tface\t1001\tDFA\tANG\tXX\t5\t2\t0\t0\t3\t0\t10\ttest",
    "2_SAD\tvoice\t1002\tDFA\tSAD\tXX\t0\t0\t0\t0\t4\t4\t8\ttrain",
    "3_HAP\tvoice\t1003\tDFA\tHAP\tXX\t0\t0\t0\t10\t0\t0\t10\tdev",
)


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Sequence[str]], Path]:
    def write(rows: Sequence[str]) -> Path:
        (tmp_path / "crema_d_votes").mkdir(exist_ok=True)
        (tmp_path / "crema_d_votes/votes.tsv").write_text("\n".join((HEAD, *rows)) + "\n")
        return tmp_path

    return write


def test_votes_of_one_modality_become_shares(written: Callable[[Sequence[str]], Path]) -> None:
    corpus = crema_d_votes(written(GOOD))
    assert [u.id for u in corpus.utterances] == ["1_ANG", "2_SAD", "3_HAP"]
    assert corpus.utterances[0].target == pytest.approx(np.array([6, 2, 0, 0, 1, 0]) / 9)
    assert [u.consensus for u in corpus.utterances] == [True, False, True]
    (seen,) = crema_d_votes(written(GOOD), modality="face").utterances
    assert seen.target == pytest.approx(np.array([5, 2, 0, 0, 3, 0]) / 10)


def test_hard_targets_leave_out_what_is_undecided(written: Callable[[Sequence[str]], Path]) -> None:
    corpus = crema_d_votes(written(GOOD), soft=False)
    assert [corpus.classes[int(u.target.argmax())] for u in corpus.utterances] == ["anger", "happiness"]
    assert "line 4: no class has most votes" in corpus.bad[0]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("4_X\tvoice\t1004\tDFA\tANG\tXX\t6\t2\t0\t0\t1\t0\t8\ttest", "9 votes of 8 responses"),
        ("4_X\tvoice\t1004\tDFA\tANG\tXX\tmany\t2\t0\t0\t1\t0\t9\ttest", "votes must be whole numbers"),
        ("4_X\tvoice\t1004\tDFA\tANG\tXX\t0\t0\t0\t0\t0\t0\t0\ttest", "no vote for any of the classes"),
        ("4_X\tvoice\t1004\tDFA\tANG\tXX\t-1\t2\t0\t0\t1\t0\t2\ttest", "a vote is below 0"),
        ("4_X\tvoice\t1004\tDFA\tANG\tXX\t6\t2\t0\t0\t1\t0\t9\tlater", "unknown split 'later'"),
    ],
)
def test_a_bad_row_is_skipped_and_told(written: Callable[[Sequence[str]], Path], row: str, told: str) -> None:
    corpus = crema_d_votes(written((*GOOD, row)))
    assert len(corpus.utterances) == 3
    assert corpus.bad == (f"{written((*GOOD, row)) / 'crema_d_votes/votes.tsv'}, line 6: {told}",)


def test_there_are_no_recordings(written: Callable[[Sequence[str]], Path]) -> None:
    with pytest.raises(OperatorError, match="no recordings"):
        corpora.load("crema_d_votes", written(GOOD)).utterances[0].audio()


def test_an_actor_of_two_splits_is_refused(written: Callable[[Sequence[str]], Path]) -> None:
    moved = GOOD[0].replace("test", "train").replace("1_ANG", "9_ANG")
    with pytest.raises(OperatorError, match="1001 in train, test"):
        crema_d_votes(written((*GOOD, moved)))
