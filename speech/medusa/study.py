"""One data set under one seed: its clips, and every network of the study, trained once."""

from collections.abc import Callable
from dataclasses import replace as with_fields
from functools import cache, cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from msgspec.structs import replace

from common.training.distributed import world
from contracts.speech import FUNCTIONALS
from speech.medusa import corpora, meta
from speech.medusa.config import Config, Data
from speech.medusa.data import load, one_hot
from speech.medusa.evaluate import Answers
from speech.medusa.experiments.arms import ARMS, FULL
from speech.medusa.experiments.learning import first_stage, second_stage
from speech.medusa.experiments.tasks import Task
from speech.medusa.folds import refuse_leaks, speaker_folds
from speech.medusa.members import Said, judge
from speech.medusa.model import DeepSER
from speech.medusa.rows import Rows, Sets
from speech.medusa.stages import Job
from speech.medusa.streams import prepare, with_streams
from speech.medusa.train import derive, jobs

MOST = 10
"""Groups of speakers, at most."""
LEAST = 5
"""Groups, at least: with fewer, too few speakers are left to learn from."""


class Round:
    """A seed of a task. Clips without a consensus are learnt from and measured by nobody."""

    def __init__(self, task: Task, config: Config, sets: Sets) -> None:
        """``sets`` with all streams."""
        self.task, self.config, self.sets = task, config, sets
        self.classes = sets.classes
        self.dev, self.test = (rows.select(rows.consensus) for rows in (sets.dev, sets.test))
        self.network = cache(self._network)
        self._halfway = cache(self._first_stage)

    @cached_property
    def rare(self) -> np.ndarray:
        """int64: the rarer half of the classes, by the training clips that have a consensus."""
        agreed = self.sets.train.labels[self.sets.train.consensus].numpy()
        counts = np.bincount(agreed, minlength=len(self.classes))
        return np.sort(np.argsort(counts, kind="stable")[: len(self.classes) // 2])

    @cached_property
    def members(self) -> tuple[DeepSER, ...]:
        return tuple(self.network(FULL, number) for number in range(len(self.config.members)))

    @cached_property
    def out_of_fold(self) -> list[Said]:
        """Of each member, what its copies say of the training clips, each clip by one that never heard its speaker."""
        learnt = self.sets.train
        parts = speaker_folds(learnt.speakers, self.config.meta.folds, self.config.seed)
        logits = torch.zeros(len(self.config.members), *learnt.targets.shape)
        attributes = torch.zeros(len(self.config.members), *learnt.attributes.shape)
        for fold in range(int(parts.max()) + 1):
            held = parts == fold
            asked, rest = learnt.select(held), learnt.select(~held)
            refuse_leaks(asked.ids, rest.ids)
            for number, job in enumerate(jobs(self.config, rest, fold)):
                logits[number, held], attributes[number, held] = judge(self._fitted(job, self.config), asked)
        return [Said(*both) for both in zip(logits, attributes, strict=True)]

    @cached_property
    def own_rows(self) -> list[Said]:
        """What each member says of the clips that it learnt from."""
        return [judge(member, self.sets.train) for member in self.members]

    @cached_property
    def said(self) -> list[Said]:
        """What each member says of the test clips."""
        return [judge(member, self.test) for member in self.members]

    @cached_property
    def answers(self) -> Answers:
        """The same, to be counted."""
        return Answers(self.test, tuple(self.said), self.heard(self.metas[0]), None)

    def heard(self, classifier: meta.LinearMeta) -> np.ndarray:
        """float32 (n, classes): the logits of a meta-classifier for the test clips."""
        said = self.said  # members learn with gradients
        with torch.no_grad():
            return classifier(meta.answers(said, classifier.judged))[0].numpy()

    @cached_property
    def metas(self) -> list[meta.LinearMeta]:
        """As ``learn_meta`` returns them, from the answers out of fold."""
        return self.learn_meta(self.out_of_fold)

    def learn_meta(self, said: list[Said]) -> list[meta.LinearMeta]:
        """The meta-classifier that learns from these answers to the training clips: the mean of its runs, and they."""
        learnt, judged = self.sets.train, self.members[0].judged
        runs = meta.fit_runs(
            meta.answers(said, judged),
            learnt.targets,
            learnt.attributes,
            learnt.consensus,
            config=self.config.meta,
            weights=self.config.weights,
            judged=judged,
            seed=derive(self.config.seed, 3),
        )
        found = []
        for weights in (meta.soup(runs), *runs):
            found.append(meta.LinearMeta(len(said), len(self.classes), judged).eval())
            found[-1].load_state_dict(weights)
        return found

    def described(self, rows: Rows) -> np.ndarray:
        """float32 (n, D): the baseline's vector of every clip."""
        return torch.cat(list(rows.streams[FUNCTIONALS])).numpy()

    def _network(self, arm: str, number: int) -> DeepSER:
        """A member, trained on all training clips with what ``arm`` leaves out."""
        config = ARMS[arm].change(self.config)
        changed = FULL if config == self.config else arm  # arms that differ in stage 2 alone share stage 1
        return second_stage(
            self._halfway(changed, number),
            self._job(config, number),
            config,
            self.task.updates,
            balanced=ARMS[arm].balanced,
        )

    def _first_stage(self, arm: str, number: int) -> DeepSER:
        config = ARMS[arm].change(self.config)
        return first_stage(self._job(config, number), config, self.sets, self.task.updates)

    def _job(self, config: Config, number: int) -> Job:
        learnt = self.sets.train
        if config.data.targets == "one_hot":
            learnt = with_fields(learnt, targets=one_hot(learnt.targets))
        return jobs(config, learnt)[number]

    def _fitted(self, job: Job, config: Config) -> DeepSER:
        updates = self.task.updates
        return second_stage(first_stage(job, config, self.sets, updates), job, config, updates)


class Study:
    """A task and its rounds, the latest of which is kept."""

    def __init__(self, task: Task, seeds: int, data: Path | None, folder: Path) -> None:
        """``folder`` takes the features and what streams are made by."""
        self.task, self.seeds, self.data, self.folder = task, seeds, data, folder
        self.round: Callable[[int], Round] = lru_cache(maxsize=1)(self._round)

    def _round(self, seed: int) -> Round:
        config = replace(self.task.config, seed=seed)
        if self.task.dealt:
            config = replace(config, data=self.dealt(seed))
        sets = load(config, self.data, self.folder)
        with world("cpu") as here:
            made = prepare(config, sets.train, self.folder / f"{self.task.name}-{seed}", here)
        return Round(self.task, config, with_streams(sets, config, made))

    def dealt(self, seed: int) -> Data:
        """One group of speakers tests, the next is for development."""
        groups, data = self.groups, self.task.config.data
        test, dev = (groups[(seed + further) % len(groups)] for further in (0, 1))
        return replace(data, test_speakers=test, dev_speakers=dev)

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """All speakers of the corpus, each in one group; as many seeds as there are groups test everybody once."""
        heard = [utterance.speaker for utterance in corpora.load(self.task.config.data.name, self.data).utterances]
        numbers = speaker_folds(heard, min(MOST, max(LEAST, self.seeds)), 0).tolist()
        return tuple(
            tuple(sorted({speaker for speaker, group in zip(heard, numbers, strict=True) if group == number}))
            for number in range(max(numbers) + 1)
        )
