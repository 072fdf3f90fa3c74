"""Tag clips by a tag set, and check a tag set against itself."""

import asyncio
from collections.abc import Sequence

import msgspec

from common.errors import DeadlineExceeded
from common.http.forms import File
from common.runtime.base import Call
from contracts.music_fewshot import SelfCheck, TagOptions, TagResponse
from music_fewshot.service import window_seconds
from music_fewshot.tag_sets import answers
from music_fewshot.tag_sets.once import Once
from music_fewshot.tag_sets.parts import Parts
from music_fewshot.tag_sets.selfcheck import self_check

CHECKS = 64
"""Self-checks that are kept."""
LONGEST_SECONDS = 3600.0
"""For a self-check, where no deadline is shorter."""


class Asker:
    """Every method raises Unavailable while the store does not answer, and Unknown for an id that there is not."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._checks: Once[tuple[str, int], SelfCheck] = Once(CHECKS, lambda _: 1)
        # A check may take a core for seconds: one at a time.
        self._checking = asyncio.Semaphore(1)

    async def tag(self, id: str, files: Sequence[File], options: TagOptions, call: Call) -> TagResponse:  # noqa: A002
        """Tags of clips, by the newest version.

        Raises Invalid, Conflict (the model is not served any more), and what ``Embedder.embed`` raises.
        """
        content = (await self._parts.entry(id)).stored.content
        answers.decision(content.decision, options)
        card = self._parts.embedder.pinned(content.model, content.graph_sha256)
        embedded = await self._parts.embedder.embed(card, files, call)
        clips = [answers.Heard(file.name, one) for file, one in zip(files, embedded, strict=True)]
        # Asked again: an edit that was acknowledged while the clips were embedded shows in the answer.
        entry = await self._parts.entry(id)
        wanted, window = answers.decision(entry.stored.content.decision, options), window_seconds(card)
        if answers.work(entry, clips, options, wanted) < answers.INLINE_WORK:
            told, used = answers.answer(entry, clips, options, wanted, window)
        else:
            told, used = await asyncio.to_thread(answers.answer, entry, clips, options, wanted, window)
        return TagResponse(
            clips=told,
            decision=used,
            exact=entry.matcher.exact,
            tag_set=id,
            version=entry.stored.version,
            model=content.model,
            request_id=call.request_id,
        )

    async def self_check(self, id: str, call: Call) -> SelfCheck:  # noqa: A002
        """Of the newest version. Raises Conflict (there is one clip only), DeadlineExceeded."""
        entry = await self._parts.entry(id)

        async def make() -> SelfCheck:
            async with self._checking:
                return await asyncio.to_thread(self_check, entry, call.request_id)

        try:
            async with asyncio.timeout(call.remaining(LONGEST_SECONDS)):
                found = await self._checks.get((id, entry.stored.version), make)
        except TimeoutError:
            message = "the check takes longer than the deadline; it goes on: ask again for what it found"
            raise DeadlineExceeded(message) from None
        return msgspec.structs.replace(found, request_id=call.request_id)
