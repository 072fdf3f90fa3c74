"""What a study will ask at most: its own code, run on an ``Ask`` that counts."""

from collections.abc import Callable
from functools import cache

from common.errors import OperatorError
from contracts.llm import CallRow, ChatRequest, Plan, Price, Profile, Reply, Usage
from contracts.studies import StudyLimits
from llm_studies.llm.journal import Paid
from llm_studies.llm.keys import Keys
from llm_studies.llm.prices import cost
from llm_studies.llm.shards import WHOLE, Shard, in_shard
from llm_studies.llm.study import Study
from llm_studies.llm.tokens import prompt_tokens

FILLER = "\u2592"
"""One token by our estimate, three bytes: no part of a number, an option, a label, a verdict or a programme, and no
white space that would be stripped."""


@cache
def worst(max_tokens: int) -> Reply:
    """The reply that costs most: it settles nothing, so that a method asks for all that it ever may, and is as long as
    the request allows, for the prompts that show it again."""
    return Reply(text=FILLER * max_tokens, finish="length", usage=Usage(prompt_tokens=0, completion_tokens=0))


class PlanAsk:
    """Counts distinct calls. A known reply is given as it is, so that the plan of a resumed study is what is left."""

    def __init__(self, profile: Profile, find: Callable[[str], CallRow | None] = lambda _: None) -> None:
        self._keys, self._find = Keys(profile), find
        self._seen: set[bytes] = set()
        self.known = self.prompt_tokens = self.completion_tokens = 0

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        key = self._keys(request, repeat)
        new = (digest := bytes.fromhex(key)) not in self._seen
        self._seen.add(digest)
        row = self._find(key)
        if row is not None and row.reply is not None:
            self.known += new
            return row.reply
        if new:
            self.prompt_tokens += prompt_tokens(request)
            self.completion_tokens += request.max_tokens
        return worst(request.max_tokens)

    async def look(self, request: ChatRequest, repeat: int = 0) -> Reply:
        """The same reply, counted nowhere: what a stage reads of earlier ones is no call."""
        row = self._find(self._keys(request, repeat))
        return worst(request.max_tokens) if row is None or row.reply is None else row.reply

    def plan(self, price: Price | None, currency: str) -> Plan:
        usage = Usage(prompt_tokens=self.prompt_tokens, completion_tokens=self.completion_tokens)
        return Plan(
            calls=len(self._seen),
            known=self.known,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cost=None if price is None else cost(usage, price),
            currency=currency if price is not None else "",
        )


async def counted(study: Study, ask: PlanAsk, shard: Shard = WHOLE) -> None:
    """Run a shard's jobs of every stage of a study on a plan."""
    number = 0
    while jobs := await study.stage(number, ask.look):
        for job in jobs:
            if in_shard(job, shard):
                await job.work(ask)
        number += 1


def affordable(plan: Plan, limits: StudyLimits, price: Price | None, paid: Paid, shard: Shard = WHOLE) -> None:
    """Raises OperatorError when the limits do not allow what was paid and what is planned together.

    ``plan`` and ``limits`` are the shard's, see ``share``.
    """
    who, whose = "the study", "its limit"
    if shard[1] > 1:
        who, whose = f"shard {shard[0]}/{shard[1]}", f"its share (1/{shard[1]}) of the limit"
    if limits.cost is not None:
        if price is None or plan.cost is None:
            raise OperatorError("limits.cost needs prices; name a price file with --prices")
        total = cost(paid.usage, price) + plan.cost
        if total > limits.cost:
            raise OperatorError(
                f"{who} may cost {total:.4g} {plan.currency}, {whose} is {limits.cost:.4g};"
                " raise limits.cost or make the study smaller"
            )
    total = paid.calls + paid.lost + plan.calls - plan.known
    if limits.calls is not None and total > limits.calls:
        raise OperatorError(
            f"{who} may make {total} calls, {whose} is {limits.calls}; raise limits.calls or make it smaller"
        )
