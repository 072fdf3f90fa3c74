"""Rows of one request that share executions."""

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from common.runtime.packs import packs
from contracts.models import Limits


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=40),
    st.integers(1, 6),
    st.integers(12, 60),
)
def test_packs_hold_every_row_once_within_the_limits(lengths: list[int], rows: int, cost: int) -> None:
    found = packs(lengths, Limits(max_rows=rows, max_cost=cost))
    assert sorted(chain.from_iterable(found)) == list(range(len(lengths)))
    for pack in found:
        assert 0 < len(pack) <= rows
        assert len(pack) * max(lengths[at] for at in pack) <= cost
    ends = [(min(lengths[at] for at in pack), max(lengths[at] for at in pack)) for pack in found]
    assert ends == sorted(ends)  # like lengths together: no pack spans another


def test_a_row_over_the_limits_stands_alone() -> None:
    assert packs([50, 3, 4], Limits(max_rows=4, max_cost=10)) == [[1, 2], [0]]
