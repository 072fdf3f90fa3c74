"""One attempt at one problem: the calls it took, and what is read from its last reply."""

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from common.errors import OperatorError
from contracts._base import Positive, Record
from contracts.llm import ChatRequest, Message, Reply, Usage
from llm_studies.bloomwise import prompts
from llm_studies.bloomwise.extract import NOTHING, Found, Options, flexible, strict, value_of
from llm_studies.bloomwise.prompts import Wording
from llm_studies.bloomwise.rules import Verdict
from llm_studies.llm.ask import Ask
from llm_studies.sandbox.run import Outcome

BLOCK = re.compile(r"```[ \t]*(?:python|py)?[ \t]*\n(.*?)```", re.DOTALL | re.IGNORECASE)
VERDICT = re.compile(r"VERDICT: (ACCEPT|CONTINUE)")
NO_BLOCK = "no-block"

Run = Callable[[str], Awaitable[Outcome]]
"""Runs a programme: ``Sandbox.arun``."""


class Decoding(Record, frozen=True, kw_only=True):
    """How replies are drawn (bloomwise.md 4). Temperature 0 is not deterministic on every server."""

    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] = 0.0
    top_p: Annotated[float, Meta(gt=0.0, le=1.0)] = 1.0
    seed: int | None = 0
    text: Positive = 512
    """Largest number of new tokens of an explanation..."""
    programme: Positive = 384
    """...of a programme..."""
    verdict: Positive = 64
    """...and of a verdict."""


class Case(NamedTuple):
    """A problem, whom to ask, and how."""

    ask: Ask
    question: str
    options: Options | None
    wording: Wording
    decoding: Decoding = Decoding()
    run: Run | None = None
    """Programmes need one."""

    @property
    def block(self) -> str:
        return prompts.problem_block(self.question, self.options)

    def task(self, instruction: str) -> Message:
        """A turn with an instruction, and the problem as data below it."""
        return prompts.user(self.wording.frame.task, instruction=instruction.strip(), problem=self.block)


class Attempt(NamedTuple):
    """What came of it."""

    name: str
    text: str
    """The reply that holds the solution."""
    finish: Literal["stop", "length", "content_filter", "other"]
    strict: str | None
    answer: str | None
    """By the flexible extractor; of a programme, both are the value of ``answer``."""
    mapped: bool
    usage: Usage
    """Of all its calls."""
    calls: int
    truncated: bool
    """One of the replies was cut off."""
    failure: str | None = None
    """Why a programme gave no answer."""
    verdict: Verdict | None = None
    unparsed: bool = False
    """The verdict was not in the form asked for, and counts as ``continue``."""
    judging: Usage | None = None
    """What the verdict's call took of ``usage``."""

    def unjudged(self) -> "Attempt":
        """With the account of a ladder whose rule needs no verdict."""
        if self.judging is None:
            return self
        usage = Usage(
            prompt_tokens=self.usage.prompt_tokens - self.judging.prompt_tokens,
            completion_tokens=self.usage.completion_tokens - self.judging.completion_tokens,
        )
        return self._replace(usage=usage, calls=self.calls - 1, judging=None)


class Talk:
    """Asks for one attempt, and keeps account. ``digest`` names the wording's files in the key of every call."""

    def __init__(self, case: Case, digest: str) -> None:
        self.case = case
        self.replies: list[Reply] = []
        self._digest = digest

    async def say(
        self, turns: Sequence[Message], max_tokens: int, *, temperature: float | None = None, repeat: int = 0
    ) -> Reply:
        """The reply to a conversation that the common frame opens. Raises what ``Ask`` raises.

        A repeat has a seed of its own: a server that honours seeds would answer all of them alike.
        """
        decoding = self.case.decoding
        request = ChatRequest(
            messages=(prompts.system(self.case.wording), *turns),
            temperature=decoding.temperature if temperature is None else temperature,
            top_p=decoding.top_p,
            max_tokens=max_tokens,
            seed=None if decoding.seed is None else decoding.seed + repeat,
            template=self._digest,
        )
        reply = await self.case.ask(request, repeat)
        self.replies.append(reply)
        return reply

    async def text(
        self, name: str, turns: Sequence[Message], *, temperature: float | None = None, repeat: int = 0
    ) -> Attempt:
        """An attempt in words."""
        reply = await self.say(turns, self.case.decoding.text, temperature=temperature, repeat=repeat)
        loose = flexible(reply.text, self.case.question, self.case.options)
        line = strict(reply.text, self.case.options)
        return self._attempt(name, reply, line.answer, loose.answer, loose.mapped, None)

    async def programme(self, name: str, turns: Sequence[Message], repair: int = 0) -> Attempt:
        """An attempt as a programme that is run; ``repair`` times it is shown its error and asked again."""
        said = list(turns)
        while True:
            reply = await self.say(said, self.case.decoding.programme)
            found, failure, detail = await self._run(reply.text)
            if failure is None or not repair:
                return self._attempt(name, reply, found.answer, found.answer, found.mapped, failure)
            repair -= 1
            error = prompts.as_data(f"{failure} {detail}".strip())
            again = prompts.user(self.case.wording.frame.repair, failure=error, problem=self.case.block)
            said += [Message(role="assistant", content=reply.text), again]

    async def verdict(self, attempt: Attempt) -> Attempt:
        """The attempt with the model's own verdict on it; one more call. Anything unclear counts as ``continue``."""
        reply = await self.say([self.about(self.case.wording.frame.verdict, attempt)], self.case.decoding.verdict)
        found = VERDICT.fullmatch(reply.text.rstrip().rpartition("\n")[2].strip())
        said: Verdict = "accept" if found and found[1] == "ACCEPT" else "continue"
        judged = self._counted(attempt)._replace(truncated=attempt.truncated, judging=reply.usage)
        return judged._replace(verdict=said, unparsed=found is None)

    def about(self, template: str, attempt: Attempt, **more: str) -> Message:
        """A turn that shows the problem and a solution of it."""
        solution = prompts.as_data(attempt.text.strip())
        return prompts.user(template, name=attempt.name, problem=self.case.block, solution=solution, **more)

    async def _run(self, text: str) -> tuple[Found, str | None, str]:
        """The answer of the programme in a reply, or the class of its failure and what there is to say about it."""
        blocks = BLOCK.findall(text)
        if not blocks:
            return NOTHING, NO_BLOCK, "there is no fenced Python block"
        if self.case.run is None:
            raise OperatorError("programmes need a sandbox, and none is set up; use mode text")
        outcome = await self.case.run(blocks[-1])
        if outcome.status != "ok":
            return NOTHING, outcome.status, outcome.detail
        found = value_of(outcome.value, self.case.options)
        return found, None if found.answer else "non-number", ""

    def _attempt(
        self, name: str, reply: Reply, line: str | None, answer: str | None, mapped: bool, failure: str | None
    ) -> Attempt:
        empty = Attempt(name, reply.text, reply.finish, line, answer, mapped, total(()), 0, False, failure)
        return self._counted(empty)

    def _counted(self, attempt: Attempt) -> Attempt:
        """With the account of all calls so far."""
        return attempt._replace(
            usage=total(reply.usage for reply in self.replies),
            calls=len(self.replies),
            truncated=any(reply.finish == "length" for reply in self.replies),
        )


def total(usages: Iterable[Usage]) -> Usage:
    """All of them together."""
    prompt = completion = 0
    for usage in usages:
        prompt, completion = prompt + usage.prompt_tokens, completion + usage.completion_tokens
    return Usage(prompt_tokens=prompt, completion_tokens=completion)
