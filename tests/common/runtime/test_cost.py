import numpy as np
import pytest

from common.runtime.cost import CostModel, Load


def truth(load: Load) -> float:
    return 0.002 + 1e-5 * load.volume + 2e-6 * load.cost


def fitted(loads: int = 400, seed: int = 0) -> CostModel:
    rng = np.random.default_rng(seed)
    model = CostModel(32)
    for rows, volume in rng.integers(1, (33, 401), (loads, 2)).tolist():
        model.observe(Load(rows, volume), truth(Load(rows, volume)))
    return model


@pytest.mark.parametrize("load", [Load(1, 1), Load(1, 400), Load(32, 20), Load(32, 400), Load(7, 123)])
def test_learns_the_three_prices(load: Load) -> None:
    assert fitted().seconds(load) == pytest.approx(truth(load), rel=0.03)


def test_table_equals_single_predictions() -> None:
    model = fitted()
    loads = [Load(1, 5), Load(2, 400), Load(8, 20), Load(32, 100)]
    rows, volumes = np.array(loads).T
    np.testing.assert_allclose(model.many(rows, volumes), [model.seconds(load) for load in loads])


def test_a_kernel_that_is_best_at_four_rows_is_seen_as_such() -> None:
    seconds = {1: 0.011, 2: 0.0137, 4: 0.0205, 8: 0.043, 16: 0.087, 32: 0.18}
    model = CostModel(32)
    for _ in range(40):
        for rows, took in seconds.items():
            model.observe(Load(rows, 1), took)
    per_row = {rows: model.seconds(Load(rows, 1)) / rows for rows in seconds}
    assert min(per_row, key=per_row.__getitem__) == 4
    assert all(model.seconds(Load(rows, 1)) == pytest.approx(took, rel=0.1) for rows, took in seconds.items())


def test_one_disturbed_execution_changes_little() -> None:
    model = fitted()
    before = model.seconds(Load(8, 100))
    model.observe(Load(8, 100), 100 * before)
    assert model.seconds(Load(8, 100)) < 1.5 * before


def test_a_lasting_change_is_followed() -> None:
    model = fitted()
    for _ in range(300):
        model.observe(Load(8, 100), 3 * truth(Load(8, 100)))
    assert model.seconds(Load(8, 100)) == pytest.approx(3 * truth(Load(8, 100)), rel=0.1)


def test_overhead_is_what_two_rows_save_together() -> None:
    assert fitted().overhead(100) == pytest.approx(0.002 + 1e-5 * 100, rel=0.1)


def test_nothing_is_known_at_first() -> None:
    assert CostModel(4).seconds(Load(4, 1)) == 0.0


def test_within_bounds_every_volume() -> None:
    model = fitted()
    cost = model.within(0.01)
    assert all(truth(Load(rows, cost // rows)) <= 0.0103 for rows in (1, 2, 5, 30))
    assert truth(Load(1, cost)) > 0.009
    assert model.within(0.0001) <= 0
