"""What the replies behind a report took, and how far they can be trusted."""

import hashlib
from typing import Self

import msgspec

from contracts.llm import ChatRequest, Reply, Usage
from llm_studies.llm.ask import Ask


class Account:
    """Passes calls on, and counts each different one once, however often the report reads it."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._seen: set[bytes] = set()
        self._prompt = self._completion = self._estimated = self._repeats = 0
        self.models: set[str] = set()
        """As the server names them."""

    @classmethod
    def of(cls, ask: Ask) -> Self:
        """``ask`` itself where it keeps account already: nothing is counted twice."""
        return ask if isinstance(ask, cls) else cls(ask)

    async def __call__(self, request: ChatRequest, repeat: int = 0) -> Reply:
        reply = await self._ask(request, repeat)
        key = hashlib.blake2b(msgspec.json.encode((request, repeat)), digest_size=16).digest()
        if key not in self._seen:
            self._seen.add(key)
            self._prompt += reply.usage.prompt_tokens
            self._completion += reply.usage.completion_tokens
            self._estimated += reply.estimated
            self._repeats += bool(repeat and request.temperature == 0.0)
            self.models.add(reply.model)
        return reply

    @property
    def calls(self) -> int:
        return len(self._seen)

    @property
    def usage(self) -> Usage:
        return Usage(prompt_tokens=self._prompt, completion_tokens=self._completion)

    def warnings(self, *, repeating: bool) -> tuple[str, ...]:
        """``repeating``: the study repeats requests at temperature 0 on purpose, which is else worth a warning."""
        found: list[str] = []
        if self._estimated:
            found.append(f"The server counted no tokens of {self._estimated} replies; theirs are estimates.")
        if self._repeats and not repeating:
            found.append(
                f"{self._repeats} replies repeat a request at temperature 0: on most servers they are no new samples."
            )
        return tuple(found)
