import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from common.text.thresholds import best_threshold, best_thresholds

CELLS = st.lists(st.tuples(st.integers(1, 20).map(lambda n: n / 20), st.booleans()), min_size=1, max_size=12)


@settings(deadline=None)
@given(CELLS)
def test_no_other_cut_has_a_higher_f1(cells: list[tuple[float, bool]]) -> None:
    p, truth = np.array([c[0] for c in cells]), np.array([c[1] for c in cells])

    def f1(cut: float) -> float:
        said = p >= cut
        return 2 * (said & truth).sum() / max(1, said.sum() + truth.sum())

    assert f1(best_threshold(p, truth)) >= max(f1(cut) for cut in np.linspace(0, 1, 81)) - 1e-12


def test_the_cut_lies_halfway_and_labels_are_chosen_apart() -> None:
    p = np.array([[0.9, 0.2], [0.6, 0.4], [0.2, 0.3], [0.1, 0.1]])
    truth = np.array([[True, False], [True, True], [False, True], [False, False]])
    np.testing.assert_allclose(best_thresholds(p, truth), [0.4, 0.25])


def test_a_label_that_is_never_on_keeps_one_half() -> None:
    assert best_threshold(np.array([0.1, 0.9]), np.array([False, False])) == 0.5


def test_all_equal_probabilities_are_not_parted() -> None:
    assert best_threshold(np.array([0.4, 0.4]), np.array([True, False])) == 0.2
