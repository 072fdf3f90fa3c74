"""A study in parts: which jobs a shard does, and what it may spend."""

import hashlib

from msgspec.structs import replace

from contracts.studies import StudyLimits
from llm_studies.llm.study import Job

Shard = tuple[int, int]
"""Part ``i`` of ``n``, from 0."""

WHOLE: Shard = (0, 1)


def in_shard(job: Job, shard: Shard) -> bool:
    """Whether part ``i`` of ``n`` does the job: by a digest, so that no part knows of another.

    Jobs about one item are done by one part, because methods share calls (a level of two ladders, the first samples of
    self-consistency) which two parts would both pay for.
    """
    name = job.about or job.item or job.id
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % shard[1] == shard[0]


def share(limits: StudyLimits, shard: Shard) -> StudyLimits:
    """What one part may spend, so that all of them together keep to the limits although none knows of another: an
    equal part of the cost, and of the calls, of which the first parts have one more where they do not divide."""
    index, count = shard
    calls = None if limits.calls is None else limits.calls // count + (index < limits.calls % count)
    return replace(limits, cost=None if limits.cost is None else limits.cost / count, calls=calls)
