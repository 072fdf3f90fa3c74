"""What can be reported of a study that did not end: the items whose replies are all there (bloomwise.md, 10 G)."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from contracts.llm import Profile
from llm_studies.llm.ask import Ask, Missing
from llm_studies.llm.journal import Index
from llm_studies.llm.replay import Replay
from llm_studies.llm.study import Divisible, Job, Study, keep


class Part(NamedTuple):
    """A study over fewer items, in as many stages as all of them are through."""

    study: Study
    items: int
    of: int
    """Items of the whole study."""
    left_out: tuple[str, ...]
    """What later stages would have added."""
    jobs: int
    """Whose replies are in it."""

    def note(self, why: str) -> str:
        """The first warning of its report."""
        without = f"; without {', '.join(self.left_out)}" if self.left_out else ""
        return f"Partial report of {self.items} of {self.of} items, those whose replies are all there{without}: {why}."


async def parts(study: Study, folder: Path, profile: Profile) -> list[Part]:
    """The parts of an unfinished run that can be reported, that with most replies first; none: no item is complete.

    The report of a part may still raise Missing, where what it asks depends on which items there are.
    """
    found: list[Part] = []
    done: dict[str, bool] = {}
    asked: Counter[str] = Counter()
    if not isinstance(study, Divisible):
        return found
    with Index.of(folder) as index:
        keep(study, folder)
        replay, stages = Replay(profile, index), 0
        while jobs := await _begun(study, stages, replay):
            stages += 1
            for job in filter(lambda job: job.item, jobs):
                asked[job.item] += 1
                done[job.item] = done.get(job.item, True) and await _answered(job, replay)
            if items := frozenset(item for item, whole in done.items() if whole):
                part, left_out = study.restricted(items, stages)
                found.append(Part(part, len(items), len(done), left_out, sum(asked[item] for item in items)))
    return sorted(found, key=lambda part: (-part.jobs, len(part.left_out)))


async def _begun(study: Study, stage: int, replay: Ask) -> Sequence[Job]:
    try:
        return await study.stage(stage, replay)
    except Missing:
        return ()


async def _answered(job: Job, replay: Ask) -> bool:
    try:
        await job.work(replay)
    except Missing:
        return False
    return True
