"""Stages 1 and 2 of one member (sections 2.5, 2.6, 4.1, 4.4, 4.9, 9.1, 10.2, 10.3)."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from common.errors import OperatorError
from common.training import loop
from common.training.distributed import World
from common.training.run import Run, create
from speech.medusa import stages
from speech.medusa.config import Config, MixUp, Stage, Weights
from speech.medusa.data import load
from speech.medusa.losses import class_weights
from speech.medusa.members import build, judge, read, standardise
from speech.medusa.rows import Sets
from speech.medusa.stages import Job, card, fit, phases, step
from speech.medusa.stems import Front
from speech.medusa.streams import prepare, with_streams
from speech.medusa.train import jobs

HERE = World()


@pytest.fixture(scope="module")
def sets(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Sets:
    folder = tmp_path_factory.mktemp("sources")
    given = load(config, None, folder)
    return with_streams(given, config, prepare(config, given.train, folder, HERE))


@pytest.fixture
def job(config: Config, sets: Sets) -> Job:
    return jobs(config, sets.train)[0]


@pytest.fixture
def run(config: Config, sets: Sets, tmp_path: Path) -> Run:
    return create(tmp_path, system="medusa", command="", config=config, seed=0, data=(sets.source,))


def changed(config: Config, **changes: object) -> Config:
    return msgspec.structs.replace(config, **changes)


def network(job: Job, config: Config, sets: Sets):
    torch.manual_seed(0)
    made = build(card(job, config, sets), config)
    standardise(made, job.learnt)
    return made


def test_every_batch_is_a_step(job: Job, config: Config, sets: Sets, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections 4.1 and 10.2: ceil(N / batch) updates an epoch, each of which moves the weights."""
    moved: list[bool] = []
    whole = loop.Trainer._step

    def counted(self: loop.Trainer, phase: loop.Phase, *args: object, **kwargs: object) -> None:
        before = [p.detach().clone() for p in phase.trained]
        whole(self, phase, *args, **kwargs)  # pyright: ignore[reportArgumentType]
        moved.append(any(not torch.equal(a, b) for a, b in zip(before, phase.trained, strict=True)))

    monkeypatch.setattr(loop.Trainer, "_step", counted)
    one = changed(config, stage1=Stage(epochs=1), stage2=Stage(epochs=0))
    fit(job, one, sets, run, HERE)
    assert moved == [True] * -(-len(job.learnt) // one.optim.batch)


def test_the_loss_of_a_step_by_hand(job: Job, config: Config, sets: Sets) -> None:
    """Section 2.5: 1.5 CE_w + 0.4 MSE on the soft targets, also without MixUp (section 4.4)."""
    plain = changed(config, mixup=MixUp(p=0.0))
    made = network(job, plain, sets).eval()
    weights, rows = class_weights(job.learnt.targets), torch.arange(9)
    assert not bool((job.learnt.targets[rows].max(1).values == 1).all())
    found = step(made, job.learnt, plain, weights, rows)
    said = made(job.learnt.batch(rows, made.streams).streams)
    ce = F.cross_entropy(said.logits, job.learnt.targets[rows], weight=weights)
    mse = F.mse_loss(said.attributes, job.learnt.attributes[rows])
    torch.testing.assert_close(found[loop.LOSS], 1.5 * ce + 0.4 * mse)
    torch.testing.assert_close(found["emotion"], ce)


def test_mixup_mixes_inputs_and_labels_alike(job: Job, config: Config, sets: Sets, monkeypatch) -> None:
    mixed = changed(config, mixup=MixUp(p=1.0), model=msgspec.structs.replace(config.model, dropout=0.0))
    made = network(job, mixed, sets).train()
    for front in made.stems.values():
        front.eval()
    given: list[torch.Tensor] = []
    monkeypatch.setattr(stages, "soft_cross_entropy", lambda _l, targets, _w: given.append(targets) or targets.sum())
    torch.manual_seed(4)
    rows = torch.arange(8)
    step(made, job.learnt, mixed, None, rows)
    torch.manual_seed(4)
    mix = stages.draw(8, mixed.mixup, torch.device("cpu"))
    assert mix is not None
    torch.testing.assert_close(given[0], mix.apply(job.learnt.targets[rows]))
    assert not torch.equal(given[0], job.learnt.targets[rows])


def test_weights_of_the_classes_in_stage_1_alone_and_from_the_rows_that_are_learnt(
    job: Job, config: Config, sets: Sets
) -> None:
    """Section 4.9: the published weights look at the test rows too."""
    half = job._replace(learnt=job.learnt.select(torch.arange(len(job.learnt)) < 30))
    first, second = phases(network(job, config, sets), half, config)
    assert (first.name, second.name) == ("stage1", "stage2")
    assert isinstance(first.step, partial)
    assert isinstance(second.step, partial)
    mass = half.learnt.targets.double().sum(0).numpy()
    expected = np.where(mass > 0, np.sqrt(30 / (8 * np.maximum(mass, 1e-9))), 1)
    np.testing.assert_allclose(first.step.args[3], expected, rtol=1e-5)
    assert second.step.args[3] is None
    assert first.sampler is None
    assert second.sampler is not None
    chosen = torch.cat(list(second.sampler.batches(0)))
    counts = torch.bincount(half.learnt.labels[chosen[half.learnt.consensus[chosen]]])
    assert len(set(counts[counts > 0].tolist())) == 1


def test_the_best_epoch_of_the_last_stage_is_kept(job: Job, config: Config, sets: Sets, run: Run) -> None:
    fit(job, config, sets, run, HERE)
    folder = run.folder / job.folder
    epochs = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    best = max(line["values"]["macro_f1"] for line in epochs if line["event"] == "epoch" and line["phase"] == "stage2")
    made = read(folder, config)
    said = judge(made, sets.dev).logits.argmax(1).numpy()
    assert stages.macro_f1(said, sets.dev.labels.numpy(), 8) == best
    assert not list((folder / "checkpoints").glob("step-*"))


def test_a_stream_is_standardised_by_what_is_learnt_from(job: Job, config: Config, sets: Sets) -> None:
    made = network(job, config, sets)
    frames = torch.cat(list(job.learnt.streams["voice"])).double()
    front = made.stems["voice"]
    assert isinstance(front, Front)
    torch.testing.assert_close(front.scale.mean.double(), frames.mean(0), rtol=1e-4, atol=1e-4)
    raw = changed(config, streams={n: msgspec.structs.replace(s, standardise=False) for n, s in config.streams.items()})
    untouched = network(job, raw, sets).stems["voice"]
    assert isinstance(untouched, Front)
    assert bool((untouched.scale.deviation == 1).all())


def test_answers_come_in_the_order_of_the_rows_and_need_eval_mode(job: Job, config: Config, sets: Sets) -> None:
    made = network(job, config, sets).eval()
    whole = judge(made, sets.test)
    for n in (0, 7, 39):
        alone = made(sets.test.batch(torch.tensor([n]), made.streams).streams)
        torch.testing.assert_close(whole.logits[n], alone.logits[0].detach(), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="eval mode"):
        judge(made.train(), sets.test)


def test_without_attributes_nothing_is_learnt_of_them(job: Job, config: Config, sets: Sets) -> None:
    plain = changed(config, weights=Weights(attributes=0.0))
    made = network(job, plain, sets)
    assert made.attribute is None
    assert set(step(made.train(), job.learnt, plain, None, torch.arange(4))) == {"loss", "emotion"}


def test_a_member_of_other_clips_or_classes_is_not_gone_on_with(job: Job, config: Config, sets: Sets, run: Run) -> None:
    short = changed(config, stage1=Stage(epochs=1), stage2=Stage(epochs=0))
    fit(job, short, sets, run, HERE)
    fewer = job._replace(learnt=job.learnt.select(torch.arange(len(job.learnt)) > 3))
    for other, given in ((fewer, sets), (job, sets._replace(classes=sets.classes[::-1]))):
        with pytest.raises(OperatorError, match="other clips, classes or streams"):
            fit(other, short, given, run, HERE)


def test_a_set_without_any_agreed_clip_has_no_second_stage(config: Config, sets: Sets, run: Run, job: Job) -> None:
    nobody = replace(job.learnt, consensus=torch.zeros(len(job.learnt), dtype=torch.bool))
    with pytest.raises(OperatorError, match="no clip has a consensus"):
        fit(job._replace(learnt=nobody), config, sets, run, HERE)
