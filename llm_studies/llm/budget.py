"""What a study may still spend: no attempt is begun that could lead past its limits."""

import asyncio

from contracts.llm import ChatRequest, Lost, Price, Reply, Usage
from contracts.studies import StudyLimits
from llm_studies.llm.ask import CapReached
from llm_studies.llm.journal import Paid
from llm_studies.llm.prices import cost
from llm_studies.llm.tokens import prompt_tokens

ROUNDING = 1 + 1e-9
"""Sums of costs in another order differ in the last digits."""


class Budget:
    """An attempt is begun only when the limits allow its worst case, beside the worst cases of all under way.

    A response of status 200 is billed, whole or not. One that is no whole reply is counted as it states, or where it
    states nothing as the worst case, and another attempt after it needs a reservation of its own. An attempt without a
    response (refused, out of time, a connection that broke) is counted as free: nobody can tell here what a server
    bills for it.

    The prompt of a worst case is our estimate, raised by the largest factor by which the server has counted more than
    we did so far; so only attempts begun before the first count can cost more than was reserved for them.
    """

    def __init__(self, limits: StudyLimits, price: Price | None, paid: Paid) -> None:
        self._capped = limits.cost is not None
        self._cost = float("inf") if limits.cost is None else limits.cost * ROUNDING
        self._calls = float("inf") if limits.calls is None else limits.calls
        self._price, self._paid = price or Price(prompt=0.0, completion=0.0), paid
        self._factor = 1.0
        self._reserved, self._under_way = 0.0, 0
        self._losing: set[Bill] = set()
        """Calls with losses that are not in the journal yet."""
        self._settled = asyncio.Event()

    @property
    def spent(self) -> float:
        return cost(self._paid.usage, self._price) + sum(cost(bill.lost.usage, self._price) for bill in self._losing)

    @property
    def calls(self) -> int:
        """Responses that were billed."""
        return self._paid.calls + self._paid.lost + sum(bill.lost.responses for bill in self._losing)

    async def reserve(self, request: ChatRequest) -> float:
        """Waits for attempts under way where their worst case is in the way. Raises CapReached when none is."""
        while True:
            worst = cost(self.worst(request), self._price) if self._capped else 0.0
            if self.calls + self._under_way >= self._calls or self.spent + self._reserved + worst > self._cost:
                if not self._under_way:
                    raise CapReached("the study has reached its limits; raise [limits] and run the same command again")
                self._settled.clear()
                await self._settled.wait()
                continue
            self._reserved += worst
            self._under_way += 1
            return worst

    def worst(self, request: ChatRequest) -> Usage:
        """The prompt as the server counts it, and as long a completion as may be."""
        prompt = round(self._factor * prompt_tokens(request))
        return Usage(prompt_tokens=prompt, completion_tokens=request.max_tokens)

    def release(self, worst: float) -> None:
        """The attempt of that reservation is accounted for."""
        self._under_way -= 1
        self._reserved = self._reserved - worst if self._under_way else 0.0  # no rounding is left over
        self._settled.set()

    def learn(self, request: ChatRequest, usage: Usage) -> None:
        """How the server counts a prompt."""
        self._factor = max(self._factor, usage.prompt_tokens / prompt_tokens(request))

    def lose(self, bill: "Bill") -> None:
        self._losing.add(bill)

    def close(self, bill: "Bill") -> None:
        self._losing.discard(bill)
        self._settled.set()


class Bill:
    """One call's part of the budget, from its first attempt to its row in the journal."""

    def __init__(self, budget: Budget, request: ChatRequest) -> None:
        self._budget, self._request = budget, request
        self._reserved: float | None = None
        self.lost = Lost(responses=0, usage=Usage(prompt_tokens=0, completion_tokens=0))

    async def attempt(self) -> None:
        """Reserve for the next attempt, unless the last one left its reservation. Raises CapReached."""
        if self._reserved is None:
            self._reserved = await self._budget.reserve(self._request)

    def lose(self, stated: Usage | None) -> None:
        """The attempt under way was billed and is no reply. While the call waits to try again, it is not under way."""
        if stated is not None:
            self._budget.learn(self._request, stated)
        billed, before = stated or self._budget.worst(self._request), self.lost.usage
        self.lost = Lost(
            responses=self.lost.responses + 1,
            usage=Usage(
                prompt_tokens=before.prompt_tokens + billed.prompt_tokens,
                completion_tokens=before.completion_tokens + billed.completion_tokens,
            ),
        )
        self._budget.lose(self)
        self._release()

    def close(self, reply: Reply | None) -> None:
        """After the call's row is in the journal, or when there will be none."""
        if reply is not None and not reply.estimated:
            self._budget.learn(self._request, reply.usage)
        self._budget.close(self)
        self._release()

    def _release(self) -> None:
        if self._reserved is not None:
            self._budget.release(self._reserved)
            self._reserved = None
