"""Soft targets from votes (specification, section 2.2)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speech.medusa.corpora.votes import voted

counts = st.lists(st.integers(0, 9), min_size=2, max_size=8)


@given(votes=counts, other=st.integers(0, 9))
def test_shares_are_those_of_the_votes_for_the_classes(votes: list[int], other: int) -> None:
    if not sum(votes):
        with pytest.raises(ValueError, match="no vote for any"):
            voted(np.array(votes), other)
        return
    target, consensus = voted(np.array(votes), other)
    assert target.dtype == np.float32
    assert target == pytest.approx([v / sum(votes) for v in votes])
    ranking = sorted([*votes, other], reverse=True)
    assert consensus == (ranking[0] > ranking[1] and ranking[0] in votes and ranking[0] != other)


@given(votes=counts.filter(sum), factor=st.floats(0.01, 100))
def test_only_the_proportions_matter(votes: list[int], factor: float) -> None:
    assert voted(np.array(votes) * factor).target == pytest.approx(voted(np.array(votes)).target)


def test_by_hand() -> None:
    assert np.array_equal(voted(np.array([3, 1, 0, 0])).target, np.float32([0.75, 0.25, 0, 0]))
    assert voted(np.array([3, 1, 0, 0])).consensus
    assert not voted(np.array([2, 2, 1])).consensus
    assert not voted(np.array([2, 1, 0]), other=2).consensus
    assert not voted(np.array([2, 1, 0]), other=3).consensus


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1])
def test_what_is_no_vote_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="a vote is"):
        voted(np.array([1.0, bad]))
    with pytest.raises(ValueError, match="a vote is"):
        voted(np.array([1.0, 0.0]), bad)
