"""Self-checks: made once for all who ask, also when the first one's deadline passes."""

import asyncio
import time
from types import SimpleNamespace

import msgspec
import pytest

from common.errors import DeadlineExceeded
from common.runtime.base import Call
from contracts.examples import EXAMPLES
from contracts.music_fewshot import SelfCheck
from music_fewshot.tag_sets import asking


async def test_a_check_goes_on_when_a_deadline_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def slow(_: object, request_id: str) -> SelfCheck:
        time.sleep(0.2)
        made.append(request_id)
        return msgspec.structs.replace(next(e for e in EXAMPLES if isinstance(e, SelfCheck)), request_id=request_id)

    async def entry(_: str) -> SimpleNamespace:
        return SimpleNamespace(stored=SimpleNamespace(version=3))

    monkeypatch.setattr(asking, "self_check", slow)
    asker = asking.Asker(SimpleNamespace(entry=entry))  # type: ignore[arg-type]
    with pytest.raises(DeadlineExceeded, match="ask again"):
        await asker.self_check("x", Call("first", time.monotonic() + 0.02))
    answers = await asyncio.gather(*(asker.self_check("x", Call(f"r{i}")) for i in range(3)))
    assert [answer.request_id for answer in answers] == ["r0", "r1", "r2"]
    assert made == ["first"]
