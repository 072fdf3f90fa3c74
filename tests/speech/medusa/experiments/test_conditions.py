"""What each condition measures, by value and against scikit-learn."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, recall_score

from contracts.speech import FUNCTIONALS
from speech.medusa import baseline
from speech.medusa.experiments import conditions as module
from speech.medusa.experiments.conditions import (
    APART,
    BASELINE,
    BEST,
    HARD_VOTE,
    MACRO,
    META,
    OWN_ROWS,
    RARE,
    SINGLE,
    SOFT_VOTE,
    conditions,
)
from speech.medusa.experiments.learning import Updates
from speech.medusa.experiments.tasks import AMBIGUOUS, LABELLED, VOTED, Task, recorded, spoken
from speech.medusa.members import Said
from speech.medusa.rows import Rows
from speech.medusa.study import Round, Study

CLASSES = ("Calm", "Cross", "Glad", "Low")


def acted(labels: list[int], rare: tuple[int, ...] = (1, 3), **more: Any) -> Round:
    """As much of a round as a measurement reads."""
    targets = torch.eye(len(CLASSES))[labels]
    test = SimpleNamespace(labels=targets.argmax(1))
    return cast(Round, SimpleNamespace(classes=CLASSES, rare=np.array(rare), test=test, **more))


def test_figures_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, 4, 60), rng.integers(0, 3, 60)  # one class is never answered
    found = module.figures(acted(truth.tolist()), said)
    f1 = np.array(f1_score(truth, said, labels=range(4), average=None, zero_division=0))  # pyright: ignore[reportArgumentType]
    assert found[MACRO] == pytest.approx(f1.mean())
    assert found["accuracy"] == pytest.approx(np.mean(truth == said))
    assert [found[f"f1_{name}"] for name in ("calm", "cross", "glad", "low")] == pytest.approx(f1.tolist())
    recall = recall_score(truth, said, labels=[1, 3], average="macro", zero_division=0)  # pyright: ignore[reportArgumentType]
    assert found[RARE] == pytest.approx(recall)


def test_a_rare_class_without_a_test_clip_has_no_recall() -> None:
    assert module.figures(acted([0, 1, 1]), np.array([0, 1, 0]))[RARE] == 0.5


def saying(labels: list[int]) -> Said:
    return Said(torch.eye(len(CLASSES))[labels], torch.full((len(labels), 3), torch.nan))


def test_the_best_member_is_chosen_on_dev_and_measured_on_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Member 1 is right on dev and wrong on test; member 2 the other way round."""
    dev = SimpleNamespace(labels=torch.tensor([0, 1, 2, 3]))
    on_dev = {
        "a": saying([0, 0, 0, 0]),
        "b": saying([0, 1, 2, 3]),
        "c": saying([3, 3, 3, 3]),
        "d": saying([0, 1, 2, 3]),
    }
    said = [saying(labels) for labels in ([0, 1, 2], [3, 3, 2], [0, 1, 2], [0, 1, 2])]
    monkeypatch.setattr(module, "judge", lambda member, rows: on_dev[member] if rows is dev else None)
    found = module.best(acted([0, 1, 2], dev=dev, members=tuple(on_dev), said=said))
    assert found["accuracy"] == pytest.approx(1 / 3)


def test_single_is_the_median_run_and_the_soup_tells_its_distance() -> None:
    labels = [0, 1, 2, 3]
    runs = {
        "soup": [0, 1, 2, 3],
        "one": [0, 1, 2, 2],
        "two": [0, 0, 0, 0],
        "three": [0, 1, 1, 1],
    }
    of = acted(labels, metas=list(runs), heard=lambda run: np.eye(4)[runs[run]])
    reached = [module.figures(of, np.array(runs[run]))[MACRO] for run in ("one", "two", "three")]
    assert module.single(of)[MACRO] == sorted(reached)[1]
    assert module.soup(of)[MACRO] == 1.0
    assert module.soup(of)[APART] == pytest.approx(1.0 - sorted(reached)[1])


def test_the_released_recipe_learns_from_the_members_own_clips(played: Round) -> None:
    mean = played.learn_meta(played.own_rows)[0]
    assert module.own_rows(played) == module.figures(played, played.heard(mean).argmax(1))


def test_the_votes_are_counted_over_the_members(played: Round) -> None:
    said = torch.stack([one.logits for one in played.said])
    soft = module.figures(played, said.softmax(2).mean(0).argmax(1).numpy())
    assert module.soft_vote(played) == soft
    counted = torch.nn.functional.one_hot(said.argmax(2), 8).sum(0)
    ahead = counted.max(1).values * 2 > len(played.members)  # where no tie has to be decided
    assert bool(ahead.any())
    np.testing.assert_array_equal(played.answers.hard[ahead.numpy()], counted.argmax(1)[ahead])


def test_the_baseline_learns_from_the_agreed_training_clips(played: Round) -> None:
    """Its vectors are those of the streams, one a clip."""
    rng = np.random.default_rng(0)

    def with_vectors(rows: Rows) -> Rows:
        vectors = [torch.from_numpy(rng.normal(size=(1, 6)).astype(np.float32)) for _ in range(len(rows))]
        for vector, label in zip(vectors, rows.labels.tolist(), strict=True):
            vector[0, :3] += 9.0 * torch.tensor([label & 1, label >> 1 & 1, label >> 2], dtype=torch.float32)
        return replace(rows, streams={**rows.streams, FUNCTIONALS: vectors})

    train, test = (with_vectors(rows) for rows in (played.sets.train, played.test))
    of = Round(played.task, played.config, played.sets._replace(train=train, test=test))
    learnt = train.select(train.consensus)
    assert len(learnt) < len(train)
    fitted = baseline.fit(of.described(learnt), learnt.labels.numpy(), learnt.speakers, 8)
    said = fitted.probabilities(of.described(of.test)).argmax(1)
    assert module.regression(of) == module.figures(of, said)
    assert module.regression(of)["accuracy"] > 0.9


def test_a_task_has_the_conditions_that_its_data_allow(study: Study, tasks: tuple[Task, ...]) -> None:
    """No one-hot arm where nobody voted, no multitask arm without attributes, no baseline without a recording."""
    together = {BEST, SOFT_VOTE, HARD_VOTE, META, SINGLE, OWN_ROWS}
    plain, mixed = tasks
    made = conditions(study).keys()
    assert made == {*plain.arms, *together}
    assert len(plain.arms) == 6
    for task, arms, baseline_too in (
        (mixed, AMBIGUOUS, False),
        (spoken(Updates(1, 1), 2, 2), plain.arms, True),
        (recorded("emodb", Updates(1, 1), 2, 2), VOTED, True),
        (recorded("nemo", Updates(1, 1), 2, 2), LABELLED, True),
    ):
        found = conditions(Study(task, 2, None, study.folder)).keys()
        assert found == {*arms, *(together if task.ensemble else ()), *([BASELINE] if baseline_too else [])}
