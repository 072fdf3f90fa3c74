import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.data.sampler import EpochSampler, NumberSampler


@given(rows=st.integers(1, 60), batch=st.integers(1, 20), epoch=st.integers(0, 5), start=st.integers(0, 20))
def test_an_epoch_holds_every_row_once_and_resumes_anywhere(rows: int, batch: int, epoch: int, start: int) -> None:
    sampler = EpochSampler(rows, batch, seed=1)
    whole = [part.tolist() for part in sampler.batches(epoch)]
    assert sorted(row for part in whole for row in part) == list(range(rows))
    assert len(whole) == len(sampler)
    assert [part.tolist() for part in sampler.batches(epoch, start)] == whole[start:]


def test_order_depends_on_epoch_and_seed_only() -> None:
    first = next(EpochSampler(50, 50, 0).batches(0))
    torch.manual_seed(99)
    assert torch.equal(first, next(EpochSampler(50, 50, 0).batches(0)))
    assert not torch.equal(first, next(EpochSampler(50, 50, 0).batches(1)))
    assert not torch.equal(first, next(EpochSampler(50, 50, 1).batches(0)))


def test_a_batch_too_small_to_share_is_left_out() -> None:
    assert [len(b) for b in EpochSampler(9, 4, 0).batches(0)] == [4, 4, 1]
    assert [len(b) for b in EpochSampler(9, 4, 0, processes=2).batches(0)] == [4, 4]
    assert [len(b) for b in EpochSampler(9, 4, 0, least=2).batches(0)] == [4, 4]
    assert [len(b) for b in EpochSampler(11, 4, 0, processes=2, least=2).batches(0)] == [4, 4]
    assert [len(b) for b in EpochSampler(10, 4, 0, least=2).batches(0)] == [4, 4, 2]
    with pytest.raises(ValueError, match="cannot be shared"):
        EpochSampler(9, 1, 0, processes=2)
    with pytest.raises(ValueError, match="2 processes, 2 rows each"):
        EpochSampler(9, 3, 0, processes=2, least=2)


@given(batches=st.integers(1, 9), batch=st.integers(1, 5), epochs=st.integers(1, 4), start=st.integers(0, 9))
def test_numbers_never_come_again_and_resume_anywhere(batches: int, batch: int, epochs: int, start: int) -> None:
    sampler = NumberSampler(batches, batch)
    drawn = [part.tolist() for epoch in range(epochs) for part in sampler.batches(epoch)]
    assert [len(part) for part in drawn] == [batch] * (len(sampler) * epochs)
    assert len({number for part in drawn for number in part}) == batches * batch * epochs
    last = [part.tolist() for part in sampler.batches(epochs - 1, start)]
    assert last == drawn[-batches:][start:]


def test_a_number_for_every_process() -> None:
    assert len(next(NumberSampler(3, 2, processes=2).batches(0))) == 2
    with pytest.raises(ValueError, match="cannot be shared"):
        NumberSampler(3, 1, processes=2)
