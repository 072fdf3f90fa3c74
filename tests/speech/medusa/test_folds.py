"""Folds by speaker, and the rule against leaks (section 10.8)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.errors import OperatorError
from speech.medusa.folds import refuse_leaks, speaker_folds


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=60), st.integers(2, 6), st.integers(0, 3))
def test_nobody_is_in_two_folds_and_no_fold_is_empty(speakers: list[str], folds: int, seed: int) -> None:
    if len(set(speakers)) < 2:
        with pytest.raises(OperatorError, match="two speakers"):
            speaker_folds(speakers, folds, seed)
        return
    found = speaker_folds(speakers, folds, seed)
    assert len({*zip(speakers, found.tolist(), strict=True)}) == len(set(speakers))
    assert sorted(set(found.tolist())) == list(range(min(folds, len(set(speakers)))))
    assert torch.equal(found, speaker_folds(speakers, folds, seed))


def test_folds_are_about_equally_large() -> None:
    speakers = [f"s{n}" for n in range(12) for _ in range(10 + n)]
    sizes = torch.bincount(speaker_folds(speakers, 4, 0))
    assert sizes.max() - sizes.min() <= 12


def test_a_clip_of_nobody_stands_for_itself() -> None:
    assert sorted(torch.bincount(speaker_folds([""] * 9, 3, 0)).tolist()) == [3, 3, 3]


def test_a_judge_that_learnt_the_clip_is_refused() -> None:
    refuse_leaks(["a", "b"], {"c"})
    with pytest.raises(OperatorError, match=r"1 clips, b among them.*--meta\.on-train"):
        refuse_leaks(["a", "b"], ["b", "c"])
