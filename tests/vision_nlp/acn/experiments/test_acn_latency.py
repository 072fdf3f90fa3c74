"""The cost of serving: exported once, smaller when cut, timed beside the reference. No time is asserted."""

from collections.abc import Callable

import pytest

from vision_nlp.acn.experiments import latency
from vision_nlp.acn.experiments.lab import ACN, RESIDUAL, Lab
from vision_nlp.acn.experiments.latency import parameters


def test_a_cut_network_is_exported_once_and_is_smaller(
    new_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "SECONDS", 0.01)
    bench = new_lab(layers=2).bench
    whole, cut = bench.served(RESIDUAL, 2), bench.served(ACN, 1)
    assert bench.served(ACN, 1) is cut
    model = new_lab(layers=2).fresh(ACN, 0)
    removed = parameters(model) - parameters(model.truncate(1))
    # Four bytes a weight; nodes and names add to it.
    assert whole.megabytes - cut.megabytes >= 4e-6 * removed
    assert cut.p50.keys() == cut.speed.keys() == {1, 32}
    assert all(value > 0 for value in (*cut.p50.values(), *cut.speed.values()))
