"""What one caller's answer costs, and where it must end."""

from contracts.llm import ChatRequest, Reply, Usage
from contracts.llm_studies import Budget
from llm_studies.llm.ask import Ask


class Spent(Exception):
    """The next call is one too many."""


class Meter:
    """An ``Ask`` that counts and keeps to a budget. Raises Spent instead of beginning a call beyond it."""

    def __init__(self, ask: Ask, budget: Budget | None = None) -> None:
        self._ask, self._budget = ask, budget
        self.calls = self.prompt = self.completion = 0
        self.model = ""
        """As the server names it."""

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        budget = self._budget
        if budget and (self.calls >= budget.calls or self.prompt + self.completion >= budget.tokens):
            raise Spent
        self.calls += 1
        reply = await self._ask(request, repeat)
        self.prompt += reply.usage.prompt_tokens
        self.completion += reply.usage.completion_tokens
        self.model = reply.model or self.model
        return reply

    @property
    def usage(self) -> Usage:
        """Of all calls so far."""
        return Usage(prompt_tokens=self.prompt, completion_tokens=self.completion)
