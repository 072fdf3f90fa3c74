"""Continual learning: formulas on matrices written by hand, masked logits, and the tasks themselves."""

import numpy as np
import pytest
import torch

from vision_nlp.acn.experiments import continual
from vision_nlp.acn.experiments.continual import average_accuracy, forgetting, masked_accuracy, sequence
from vision_nlp.acn.experiments.lab import ACN, Lab
from vision_nlp.acn.wiring import AutoCompressing
from vision_nlp.pictures import Rows

REACHED = np.array([[0.9, 0.5, 0.4], [0.7, 0.8, 0.5], [0.6, 0.5, 1.0]])


def test_figures_of_a_matrix() -> None:
    assert average_accuracy(REACHED) == pytest.approx((0.6 + 0.5 + 1.0) / 3)
    assert forgetting(REACHED) == pytest.approx(((0.9 - 0.6) + (0.8 - 0.5) + 0.0) / 3)


def test_a_network_that_never_forgets_has_no_forgetting() -> None:
    assert forgetting(np.tile([0.3, 0.6, 0.9], (3, 1))) == 0.0
    assert forgetting(np.array([[0.2, 0.0], [0.6, 0.5]])) == pytest.approx(-0.2)  # it even got better


class Fixed(torch.nn.Module):
    """Answers with its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_only_logits_of_the_task_may_answer() -> None:
    logits = torch.tensor([[9.0, 0.0, 1.0, 2.0], [9.0, 0.0, 2.0, 1.0], [9.0, 9.0, 5.0, 4.0]])
    rows = Rows(logits, torch.tensor([1, 0, 1]))  # within the task
    assert masked_accuracy(Fixed(), rows, (2, 3)) == pytest.approx(2 / 3)  # type: ignore[arg-type]


def test_synaptic_intelligence_of_no_strength_is_naive(lab: Lab) -> None:
    tasks, found = [(0, 1), (2, 3), (8, 9)], []
    for strength in (None, 0.0, 1e4):
        model = lab.fresh(ACN, 1)
        found.append(sequence(model, lab.splits(1), tasks, 3, 1, strength))
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0].shape == (3, 3)
    # The first task is learnt without any penalty; afterwards a strong one is felt.
    np.testing.assert_array_equal(found[0][0], found[2][0])
    assert not np.array_equal(found[0], found[2])


def test_a_task_trains_on_its_own_classes_alone(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def spied(model: AutoCompressing, loss: object, rows: Rows, *_: object, **__: object) -> None:
        seen.append(len(rows.y))

    monkeypatch.setattr(continual, "learn", spied)
    sequence(lab.fresh(ACN, 0), lab.splits(0), [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)], 1, 0, None)
    labels = lab.splits(0).train.y
    assert seen == [int(((labels == c) | (labels == c + 1)).sum()) for c in range(0, 10, 2)]


def test_conditions_have_two_depths_and_two_methods(lab: Lab) -> None:
    conditions = continual.conditions(lab)
    assert len(conditions) == len(continual.NETWORKS) * 2 * 2
    values = conditions[continual.name(ACN, continual.SHALLOW, continual.NAIVE)](0)
    assert values["blocks"] == lab.scale.shallow
    assert values["forgetting"] == pytest.approx(values["when learnt"] - values["average accuracy"])
