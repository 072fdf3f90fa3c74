"""``POST /v1/llm/solve``: the ladder of BloomWise for one caller."""

import asyncio
import time
from collections.abc import Callable

from common.errors import Invalid, NotReady
from common.runtime.base import Call
from contracts.llm_studies import LevelAnswer, SolveRequest, SolveResponse
from llm_studies.bloomwise import prompts
from llm_studies.bloomwise.attempt import Attempt, Case, Run
from llm_studies.bloomwise.extract import options_of
from llm_studies.bloomwise.ladder import Ladder
from llm_studies.bloomwise.rules import Rule
from llm_studies.bloomwise.solve import climb, settle
from llm_studies.llm.ask import Ask
from llm_studies.sandbox import bubblewrap
from llm_studies.sandbox.run import Sandbox
from llm_studies.service.meter import Meter, Spent
from llm_studies.service.upstream import Upstream

UNCONTAINED = NotReady(
    "programmes of a language model run under bubblewrap only, which does not work here: the operator installs it "
    "and allows user namespaces, or the caller sends mode text",
    retry_after=None,
)


class Solver:
    """Climbs the ladder. A resource of the application, for the sandbox of its programmes."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._wording = prompts.load()
        self._sandbox: Sandbox | None = None

    async def __aenter__(self) -> "Solver":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sandbox is not None:
            await asyncio.to_thread(self._sandbox.close)

    async def solve(self, body: SolveRequest, call: Call, ended: Callable[[LevelAnswer], None]) -> SolveResponse:
        """``ended`` is told of each level as it ends.

        Raises NotReady without a language model or, for programmes, without bubblewrap; Invalid for a budget that
        ends before the first level does; QueueFull, CallFailed, UpstreamBusy, DeadlineExceeded.
        """
        self._upstream.configured()
        run = None if body.mode == "text" else await self._contained()
        started = time.perf_counter()
        async with self._upstream.answering(call) as ask:
            answer = await self._climb(body, ask, run, call.request_id, ended)
        call.timing.infer += time.perf_counter() - started
        return answer

    async def _climb(
        self, body: SolveRequest, ask: Ask, run: Run | None, request_id: str, ended: Callable[[LevelAnswer], None]
    ) -> SolveResponse:
        meter, ladder, levels = Meter(ask, body.budget), ladder_of(body), list[Attempt]()
        case = Case(meter, body.problem, options_of(body.options), self._wording, run=run)
        spent = False
        try:
            async for attempt in climb(case, ladder):
                levels.append(attempt)
                ended(level_of(attempt))
        except Spent:
            spent = True
        if not levels:
            raise Invalid.field("budget", "is spent before the first level has ended; allow more")
        solution = settle(levels, ladder.rule)
        return SolveResponse(
            answer=solution.chosen.answer,
            explanation=solution.chosen.text,
            levels=tuple(level_of(attempt) for attempt in levels),
            converged=solution.outcome.ended,
            stopped_at=levels[-1].name,
            stopped_by="budget" if spent else "rule" if solution.outcome.ended else "ladder",
            usage=meter.usage,
            cost=self._upstream.cost(meter.usage),
            currency=self._upstream.currency,
            model=meter.model or self._upstream.configured().model,
            request_id=request_id,
        )

    async def _contained(self) -> Run:
        """What runs programmes, made when the first one comes: whether bubblewrap works takes a process to tell."""
        if await asyncio.to_thread(bubblewrap.isolation) != "bubblewrap":
            raise UNCONTAINED
        if self._sandbox is None:
            self._sandbox = Sandbox(isolation="bubblewrap")
        return self._sandbox.arun


def ladder_of(body: SolveRequest) -> Ladder:
    """The method's own form of what a caller chose."""
    rule = Rule(kind=body.rule, agree=body.agree, fallback=body.fallback)
    return Ladder(levels=body.ladder, rule=rule, mode=body.mode, context=body.context)


def level_of(attempt: Attempt) -> LevelAnswer:
    """A level as a caller sees it."""
    return LevelAnswer(
        name=attempt.name,
        reply=attempt.text,
        answer=attempt.answer,
        strict=attempt.strict,
        verdict=attempt.verdict,
        finish=attempt.finish,
        failure=attempt.failure,
        usage=attempt.usage,
    )
