"""What does a server really do with what it is asked? Many accept a field and ignore it without a word."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from common.errors import KitharaError, OperatorError
from contracts.llm import ChatRequest, Honoured, Message
from llm_studies.llm import folder as files
from llm_studies.llm import replies
from llm_studies.llm.client import Client
from llm_studies.llm.study import Capability

SPOILS: dict[Capability, str] = {
    "deterministic": "a rerun would not repeat the text",
    "temperature": "every sample would be the same text, and self-consistency a single vote",
    "system_role": "the instruction would not be read; set system_role = false in the profile",
    "usage": "tokens and costs would be estimates",
    "max_tokens": "replies and costs would have no bound",
}
COUNT = "Count from one to thirty in words, separated by commas."
TALE = "Tell a story of four sentences about a lighthouse, a dog and a lost letter."
WORD = "zanzibar"


async def probed(client: Client, folder: Path, known: Honoured | None = None) -> Honoured:
    """``known``, what the folder holds about this model, or a new probe; kept in the folder. Raises OperatorError."""
    found = known or files.saved(folder, files.PROBE, Honoured)
    if found is None or (found.base_url, found.model) != (client.profile.base_url, client.profile.model):
        found = await probe(client)
    files.save(folder, files.PROBE, found)
    return found


def require(honoured: Honoured, needs: Iterable[Capability]) -> None:
    """Raises OperatorError that names each thing that is needed and ignored, and what that would spoil."""
    ignored: list[Capability] = [need for need in sorted(needs) if not getattr(honoured, need)]
    if ignored:
        what = "; ".join(f"{need} ({SPOILS[need]})" for need in ignored)
        raise OperatorError(f"{honoured.model} at {honoured.base_url} ignores {what}; use another server or study")


async def probe(client: Client) -> Honoured:
    """Ask about ten times. Raises OperatorError when the server does not answer a plain request at all."""
    return await _Probe(client).run()


class _Probe:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._calls = 0
        self._notes: list[str] = []

    async def run(self) -> Honoured:
        first = await self._first()
        again = await self._text(_asked(COUNT))
        first_text = _text(first)
        one, same, other, third = [
            await self._text(_asked(TALE, temperature=1.0, seed=seed, max_tokens=48)) for seed in (1, 1, 2, 3)
        ]
        stop, stripped = await self._stop(first_text)
        two = await self._completion(_asked(TALE, temperature=1.0, max_tokens=8), n=2)
        odds = await self._completion(_asked(COUNT, max_tokens=8), logprobs=True)
        profile = self._client.profile
        found = Honoured(
            base_url=profile.base_url,
            model=profile.model,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            deterministic=again is not None and again == first_text,
            temperature=len({text for text in (one, other, third) if text is not None}) > 1,
            seed=one is not None and one == same and len({one, other, third}) > 1,
            stop=stop,
            stop_stripped=stripped,
            n=two is not None and len(two.choices) == 2,
            logprobs=odds is not None and odds.choices[0].logprobs not in (None, b"null"),
            usage=replies.counted(first) is not None,
            max_tokens=await self._bounded(),
            system_role=await self._system(),
            calls=0,
        )
        return self._noted(found)

    async def _first(self) -> replies.Completion:
        try:
            self._calls += 1
            return await self._client.raw(_asked(COUNT))
        except OperatorError:
            raise
        except KitharaError as error:
            raise OperatorError(f"the server does not answer: {error}; start it or correct the profile") from None

    async def _completion(self, request: ChatRequest, **more: object) -> replies.Completion | None:
        """None, with a note, where the server refuses what is asked."""
        self._calls += 1
        try:
            return await self._client.raw(request, **more)
        except OperatorError:
            raise
        except KitharaError as error:
            self._notes.append(f"Refused {', '.join(more) or 'a request'}: {error}.")
            return None

    async def _text(self, request: ChatRequest) -> str | None:
        completion = await self._completion(request)
        return None if completion is None else _text(completion)

    async def _stop(self, text: str) -> tuple[bool, bool]:
        """Honoured, stripped: stop at the character that a reply to the same request had most often before its end."""
        common = Counter(text[:-1]).most_common(1)
        if not common:
            self._notes.append("Its reply is too short to tell whether stop is honoured.")
            return False, False
        end = common[0][0]
        stopped = await self._text(_asked(COUNT, stop=(end,)))
        if stopped is None:
            return False, False
        return end not in stopped[:-1], end not in stopped

    async def _bounded(self) -> bool:
        completion = await self._completion(_asked(COUNT, max_tokens=4))
        if completion is None:
            return False
        usage = replies.counted(completion)
        tokens = usage.completion_tokens if usage is not None else len(_text(completion).split())
        return tokens <= 4

    async def _system(self) -> bool:
        """Accepted, and counted or heard: where it is dropped, the prompt is no longer and the word not said."""
        system = Message(role="system", content=f"Whatever you are asked, answer with the one word {WORD}.")
        plain, told = _asked(COUNT, max_tokens=16), _asked(COUNT, system=system, max_tokens=16)
        without, with_it = await self._completion(plain), await self._completion(told)
        if without is None or with_it is None:
            return False
        before, after = replies.counted(without), replies.counted(with_it)
        longer = before is not None and after is not None and after.prompt_tokens > before.prompt_tokens
        return longer or WORD in _text(with_it).lower()

    def _noted(self, found: Honoured) -> Honoured:
        if found.stop and not found.stop_stripped:
            self._notes.append("It leaves the stop text in the reply; we cut it.")
        if not found.temperature:
            self._notes.append("Samples at temperature 1 are all alike: sampling is ignored.")
        if not found.deterministic:
            self._notes.append("Temperature 0 does not repeat its text; measure how often replies differ.")
        return msgspec.structs.replace(found, calls=self._calls, notes=tuple(self._notes))


def _asked(text: str, *, system: Message | None = None, **fields: object) -> ChatRequest:
    messages = (*((system,) if system else ()), Message(role="user", content=text))
    return ChatRequest(messages=messages, **({"max_tokens": 32} | fields))  # pyright: ignore[reportArgumentType]


def _text(completion: replies.Completion) -> str:
    return completion.choices[0].message.content or ""
