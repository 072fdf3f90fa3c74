import pytest

from common.training.loop import factor


def test_schedules() -> None:
    assert [factor(i, 10, "constant", 4) for i in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert factor(0, 10, "cosine", 0) == 1
    assert factor(5, 10, "cosine", 0) == pytest.approx(0.5)
    assert factor(7, 10, "cosine", 4) == pytest.approx(0.5)
    assert factor(10, 10, "cosine", 0) == pytest.approx(0)
