"""A round of the study: who learns what, who is asked what, and that networks are shared as they should be."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from speech.medusa import study as module
from speech.medusa.experiments.arms import FULL, ONE_HOT, ONE_STAGE
from speech.medusa.experiments.learning import Updates
from speech.medusa.experiments.tasks import Task, recorded
from speech.medusa.members import Said, judge
from speech.medusa.meta import answers, soup
from speech.medusa.rows import Rows
from speech.medusa.stages import Job
from speech.medusa.study import Round, Study


def fresh(played: Round) -> Round:
    """Nothing trained yet."""
    return Round(played.task, played.config, played.sets)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs of every first stage that is trained."""
    seen: list[Job] = []
    real = module.first_stage

    def spy(job: Job, *rest: Any) -> Any:
        seen.append(job)
        return real(job, *rest)

    monkeypatch.setattr(module, "first_stage", spy)
    return seen


def test_a_network_is_trained_once_and_stage_1_is_shared_with_its_control(played: Round, trained: list[Job]) -> None:
    this = fresh(played)
    assert this.network(FULL, 0) is this.network(FULL, 0) is this.members[0]
    this.network(ONE_STAGE, 0)
    assert len(trained) == len(this.members) == 3
    assert len({(job.member.streams, job.seed) for job in trained}) == 3


def test_one_hot_targets_are_learnt_from_in_that_arm_alone(played: Round, trained: list[Job]) -> None:
    this = fresh(played)
    for arm in (FULL, ONE_HOT):
        this.network(arm, 0)
    soft, hard = trained
    votes = played.sets.train.targets
    torch.testing.assert_close(soft.learnt.targets, votes, rtol=0, atol=0)
    assert set(hard.learnt.targets.unique().tolist()) == {0.0, 1.0}
    np.testing.assert_array_equal(hard.learnt.targets.argmax(1), votes.argmax(1))
    assert (soft.seed, soft.learnt.ids) == (hard.seed, hard.learnt.ids)
    torch.testing.assert_close(this.test.targets, played.test.targets)


def test_clips_without_consensus_are_measured_by_nobody(played: Round) -> None:
    for rows, all_rows in ((played.dev, played.sets.dev), (played.test, played.sets.test)):
        assert bool(rows.consensus.all())
        assert len(rows) == int(all_rows.consensus.sum())


def test_a_copy_never_heard_the_speaker_that_it_judges(played: Round, monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 10.8: whoever judges a training clip was fitted to none of its speaker's."""
    fitted: dict[int, set[str]] = {}
    asked: list[tuple[str, ...]] = []
    alive: list[Any] = []
    real_second, real_judge = module.second_stage, module.judge

    def second(network: Any, job: Job, *rest: Any, **named: Any) -> Any:
        found = real_second(network, job, *rest, **named)
        fitted[id(found)] = set(job.learnt.speakers)
        alive.append(found)  # an identity must not be given away again
        return found

    def spy(network: Any, rows: Rows) -> Said:
        assert not fitted[id(network)] & set(rows.speakers)
        asked.append(rows.ids)
        return real_judge(network, rows)

    monkeypatch.setattr(module, "second_stage", second)
    monkeypatch.setattr(module, "judge", spy)
    said = fresh(played).out_of_fold
    assert len(said) == 3
    assert len(asked) == 2 * 3
    ids = played.sets.train.ids
    assert sorted(asked[0] + asked[3]) == sorted(ids)
    for one in said:
        assert one.logits.shape == (len(ids), 8)
        assert bool((one.logits != 0).any(1).all())


def test_the_mean_of_the_runs_comes_first(played: Round) -> None:
    mean, *runs = played.metas
    assert len(runs) == 3
    for name, value in soup(run.state_dict() for run in runs).items():
        torch.testing.assert_close(mean.state_dict()[name], value)
    said = answers([judge(member, played.test) for member in played.members], True)
    with torch.no_grad():
        np.testing.assert_allclose(played.heard(mean), mean(said)[0].numpy(), atol=1e-5)


def test_rare_classes_are_counted_over_agreed_training_clips(played: Round) -> None:
    counts = np.zeros(8)
    for target, agreed in zip(played.sets.train.targets.tolist(), played.sets.train.consensus.tolist(), strict=True):
        counts[int(np.argmax(target))] += agreed
    others = [c for c in range(8) if c not in played.rare]
    assert len(played.rare) == 4
    assert max(counts[played.rare]) <= min(counts[others])


def test_a_seed_makes_its_own_set_and_the_latest_is_kept(study: Study, played: Round) -> None:
    other = study.round(1)
    assert other.config.seed == 1
    assert not torch.equal(other.sets.train.targets, played.sets.train.targets)
    assert study.round(1) is other


@pytest.fixture
def actors(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ten of them, with 5 to 14 clips each."""
    speakers = [f"{s:02d}" for s in range(10) for _ in range(5 + s)]
    corpus = SimpleNamespace(utterances=[SimpleNamespace(speaker=s) for s in speakers])
    monkeypatch.setattr(module.corpora, "load", lambda name, data: corpus)
    return speakers


@pytest.mark.parametrize(("seeds", "groups"), [(2, 5), (3, 5), (5, 5), (10, 10), (20, 10)])
def test_as_many_seeds_as_groups_test_every_speaker_once(actors: list[str], seeds: int, groups: int) -> None:
    study = Study(recorded("emodb", Updates(1, 1), 1, 2), seeds, None, Path())
    dealt = [study.dealt(seed) for seed in range(groups)]
    assert len(study.groups) == groups
    assert sorted(s for data in dealt for s in data.test_speakers) == sorted(set(actors))
    for data in dealt:
        assert data.dev_speakers
        assert not set(data.dev_speakers) & set(data.test_speakers)
    assert study.dealt(groups) == dealt[0]


def test_only_a_task_that_says_so_deals_its_speakers(tasks: tuple[Task, ...]) -> None:
    assert [task.dealt for task in tasks] == [False, False]
    assert [recorded(name, Updates(1, 1), 1, 2).dealt for name in ("emodb", "ravdess", "nemo")] == [True, False, False]
