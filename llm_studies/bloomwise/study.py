"""The study: every ladder whole and every baseline on every problem; what a rule would have done is replayed.

So one paid run yields all control rules and most ablations, and only call-matched self-consistency must wait for a
second stage: its number of samples is what the ladder's rule turned out to need.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from copy import copy
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from common.errors import OperatorError
from contracts.studies import AnswerPrediction, StudyReport
from llm_studies.bloomwise import baselines, generated, prompts
from llm_studies.bloomwise.attempt import Attempt, Case
from llm_studies.bloomwise.baselines import METHODS, Trial, matched, trial
from llm_studies.bloomwise.config import Config, Items
from llm_studies.bloomwise.data import Problem, load
from llm_studies.bloomwise.ladder import Ladder, levels_of
from llm_studies.bloomwise.measured import Measured
from llm_studies.bloomwise.predictions import predictions
from llm_studies.bloomwise.programmes import Programmes, programmes
from llm_studies.bloomwise.repeats import REPEAT, Repeat, repeated
from llm_studies.bloomwise.report import report
from llm_studies.bloomwise.rules import Rule
from llm_studies.bloomwise.solve import solve
from llm_studies.llm.account import Account
from llm_studies.llm.ask import Ask
from llm_studies.llm.study import Capability, Job, Restricted, bounded

MATCHED = "self_consistency_matched"
SAMPLES = {"self_consistency_3": 3, "self_consistency_5": 5}
GENERATED = 100
"""Problems when a study names no number."""


class BloomWise:
    """``llm_studies.llm.study.Study``."""

    name = "bloomwise"

    def __init__(
        self, config: Config, sets: dict[str, tuple[Problem, ...]], demos: dict[str, tuple[Problem, ...]]
    ) -> None:
        self.config = config
        self.wording = prompts.load(Path(config.ladder_file) if config.ladder_file else None)
        self.ladders = {name: whole(ladder) for name, ladder in config.ladders.items()}
        self._sets, self._demos = sets, demos
        self._twice = {name: problems[: config.repeat_control] for name, problems in sets.items()}
        self._run = Programmes() if programmes(config) else None
        for ladder in config.ladders.values():
            levels_of(ladder, self.wording)

    @property
    def needs(self) -> frozenset[Capability]:
        sampled = any(name.startswith("self_consistency") for name in self.config.methods)
        warm = self.config.decoding.temperature or any(one.temperature for one in self.config.ladders.values())
        profile, found = self.config.profile, set(bounded(self.config.limits))
        if sampled or warm:
            found.add("temperature")
        if profile is None or profile.system_role:  # every call opens with one; else its text stands in the user's turn
            found.add("system_role")
        return frozenset(found)

    def keep(self, folder: Path) -> None:
        """``llm_studies.llm.study.Keeping``: what became of programmes."""
        if self._run is not None:
            self._run.keep(folder)

    @property
    def controls_repeats(self) -> bool:
        return self.config.repeat_control > 0

    async def stage(self, number: int, replay: Ask) -> Sequence[Job]:
        if number == 0:
            return [
                _job(name, one, method, partial(self._work, name, one, method))
                for name, problems in self._sets.items()
                for one in problems
                for method in (*self.ladders, *self.config.methods)
                if method != MATCHED
            ]
        if number == 1 and MATCHED in self.config.methods:
            return [
                _job(name, one, MATCHED, partial(self._sample, one, samples[one.id]))
                for name, problems in self._sets.items()
                for samples in [await self._samples(name, replay)]
                for one in problems
            ]
        return []

    def restricted(self, items: frozenset[str], stages: int) -> Restricted:
        left_out = {MATCHED} & set(self.config.methods) if stages < 2 else set()

        def kept(sets: dict[str, tuple[Problem, ...]]) -> dict[str, tuple[Problem, ...]]:
            found = {name: tuple(one for one in sets[name] if f"{name}/{one.id}" in items) for name in sets}
            return {name: problems for name, problems in found.items() if problems}

        part = copy(self)
        methods = tuple(method for method in self.config.methods if method not in left_out)
        part.config = replace(self.config, methods=methods)
        part._sets = kept(self._sets)
        part._twice = dict.fromkeys(part._sets, ()) | kept(self._twice)
        return Restricted(part, tuple(left_out))

    async def report(self, replay: Ask) -> StudyReport:
        account = Account.of(replay)
        measured = {name: await self._measure(name, account) for name in self._sets}
        return report(self.config, measured, account)

    async def rows(self, replay: Ask) -> AsyncIterator[AnswerPrediction]:
        for name in self._sets:
            for row in predictions(name, await self._measure(name, replay)):
                yield row

    async def _measure(self, name: str, replay: Ask) -> Measured:
        problems = self._sets[name]
        ladders = {
            ladder: [[level._replace(text="") for level in await self._climb(one, ladder, replay)] for one in problems]
            for ladder in self.ladders
        }
        trials = {
            ladder: [trial(attempts, self.config.ladders[ladder].rule) for attempts in runs]
            for ladder, runs in ladders.items()
        }
        samples = self._matched(name, trials[self._first])
        for method in self.config.methods:
            trials[method] = [
                silent(
                    await self._sample(one, samples[one.id], replay)
                    if method == MATCHED
                    else await self._method(name, one, method, replay)
                )
                for one in problems
            ]
        repeats = tuple([await self._repeat(one, replay) for one in self._twice[name]])
        return Measured(problems, self._demos[name], ladders, trials, repeats)

    async def _work(self, name: str, one: Problem, method: str, ask: Ask) -> object:
        if method in self.ladders:
            levels = await self._climb(one, method, ask)
            # In the ladder's own job, so that two shards never pay for the call that both are made of.
            return await self._repeat(one, ask) if method == self._first and one in self._twice[name] else levels
        return await self._method(name, one, method, ask)

    async def _climb(self, one: Problem, ladder: str, ask: Ask) -> list[Attempt]:
        return list((await solve(self._case(one, ask), self.ladders[ladder])).levels)

    async def _repeat(self, one: Problem, ask: Ask) -> Repeat:
        return await repeated(self._case(one, ask), self._main)

    async def _method(self, name: str, one: Problem, method: str, ask: Ask) -> Trial:
        case = self._case(one, ask)
        if method in SAMPLES:
            return await self._sample(one, SAMPLES[method], ask)
        if method == "paraphrases":
            count = len(levels_of(self._main, self.wording))
            return await baselines.paraphrases(case, count, controlled(self._main.rule))
        attempt = await METHODS[method](case, self._demos[name])
        return Trial(attempt.strict, attempt.answer, (attempt,))

    async def _sample(self, one: Problem, count: int, ask: Ask) -> Trial:
        return await baselines.self_consistency(self._case(one, ask), count, self.config.sampling.temperature)

    def _matched(self, name: str, trials: Sequence[Trial]) -> dict[str, int]:
        """Samples by problem: together as many calls as the first ladder makes under its rule."""
        return matched([one.id for one in self._sets[name]], sum(done.calls for done in trials))

    async def _samples(self, name: str, replay: Ask) -> dict[str, int]:
        problems = self._sets[name]
        trials = [trial(await self._climb(one, self._first, replay), self._main.rule) for one in problems]
        return self._matched(name, trials)

    @property
    def _first(self) -> str:
        return next(iter(self.config.ladders))

    @property
    def _main(self) -> Ladder:
        return self.config.ladders[self._first]

    def _case(self, one: Problem, ask: Ask) -> Case:
        return Case(ask, one.question, one.options, self.wording, self.config.decoding, self._run)


def make(config: Config, data: Path | None) -> BloomWise:
    """The study of a file, its data read and checked. Raises OperatorError naming what is wrong with either."""
    names = [items.name for items in config.data]
    if len(set(names)) < len(names):
        raise OperatorError(f"the study file names the set {max(names, key=names.count)} twice; name it once")
    if taken := set(config.ladders) & {*METHODS, *SAMPLES, MATCHED, REPEAT, "paraphrases"}:
        raise OperatorError(f"the ladder {min(taken)!r} has the name of a baseline; give it another one")
    sets = {str(items.name): chosen(items, data) for items in config.data}
    if small := next((name for name, problems in sets.items() if len(problems) < config.repeat_control), None):
        raise OperatorError(
            f"repeat_control asks for {config.repeat_control} problems, and the study has {len(sets[small])} of {small}"
        )
    demos = {name: demonstrations(name, config.demonstrations, data) for name in sets}
    return BloomWise(config, sets, demos)


def chosen(items: Items, data: Path | None) -> tuple[Problem, ...]:
    """The problems of a study, in the order of their set. Raises OperatorError when it has fewer."""
    if items.name == "generated":
        return generated.problems(items.items or GENERATED, seed=items.seed, options=items.options)
    known = load(items.name, data)
    count = items.items or len(known)
    if count > len(known):
        raise OperatorError(f"{items.name} has {len(known)} problems, and the study asks for {count}")
    drawn = sorted(known, key=lambda one: hashlib.sha256(f"{items.seed}/{one.id}".encode()).digest())[:count]
    kept = {one.id for one in drawn}
    return tuple(one for one in known if one.id in kept)


def demonstrations(name: str, count: int, data: Path | None) -> tuple[Problem, ...]:
    """The first problems of a set that is never tested on."""
    if name == "generated":
        return generated.problems(count, split="train")
    return load("aqua_dev" if name == "aqua_test" else "gsm8k_train", data)[:count]


def whole(ladder: Ladder) -> Ladder:
    """The same ladder with every level asked, and with what its rule needs to be replayed."""
    verdicts = ladder.verdicts or ladder.rule.kind == "self_eval"
    kind = "fixed" if ladder.rule.kind == "fixed" else "all"
    return replace(ladder, rule=replace(ladder.rule, kind=kind), verdicts=verdicts)


def _job(name: str, one: Problem, method: str, work: Callable[[Ask], Awaitable[object]]) -> Job:
    """In the shard of its question: two sets may have it, as GSM-hard has some of GSM8K's, and then share its calls."""
    return Job(f"{name}/{one.id}/{method}", work, f"{name}/{one.id}", one.question)


def controlled(rule: Rule) -> Rule:
    """The rule for the paraphrases: they have no verdicts, so instead of self-evaluation they converge."""
    return replace(rule, kind="converge") if rule.kind == "self_eval" else rule


def silent(done: Trial) -> Trial:
    """Without the texts."""
    return done._replace(attempts=tuple(attempt._replace(text="") for attempt in done.attempts))
