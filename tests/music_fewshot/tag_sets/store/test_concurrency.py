"""Many editors, many processes, callers that leave and processes that are killed: no acknowledged edit is lost."""

import asyncio
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable

import pytest

from common.errors import Stale
from music_fewshot.tag_sets.content import Change, Content, Item, Stored
from music_fewshot.tag_sets.store import Store, engine

MakeItem = Callable[..., Item]
MakeContent = Callable[..., Content]

OPEN = """
import asyncio, sys
from music_fewshot.tag_sets.store import Store

async def main() -> None:
    sys.stdin.readline()  # until all processes have started
    async with Store(sys.argv[1]) as store:
        print(len(await store.page(10)))

asyncio.run(main())
"""

EDIT = """
import asyncio, sys
from music_fewshot.tag_sets.store import Store

async def main() -> None:
    async with Store(sys.argv[1]) as store:
        while True:
            def change(content):
                name = f"{sys.argv[3]}-{len(content.items)}"
                return content._replace(items=(*content.items, content.items[0]._replace(id=name, clip=name)))
            made = await store.edit(sys.argv[2], None, change, "add-items", "")
            print(made.version, made.content.items[-1].id, flush=True)

asyncio.run(main())
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def adding(item: Item) -> Change:
    return lambda content: content._replace(items=(*content.items, item))


async def test_editors_that_repeat_after_a_refusal_lose_no_edit(store: Store, kept: Stored, item: MakeItem) -> None:
    refused = 0

    async def editor(number: int) -> int:
        nonlocal refused
        for _ in range(200):
            seen = await store.version(kept.id)
            try:
                change = adding(item(100 + number, f"tag {number}"))
                return (await store.edit(kept.id, seen, change, "add-items", str(number))).version
            except Stale:
                refused += 1
        raise AssertionError("never accepted")

    versions = await asyncio.gather(*(editor(number) for number in range(32)))
    assert sorted(versions) == list(range(2, 34))
    assert refused > 0
    read = await store.get(kept.id)
    # Each clip lies where the version that added it says.
    assert [i.clip for i in read.content.items[3:]] == [
        f"clip {100 + number}.flac" for _, number in sorted(zip(versions, range(32), strict=True))
    ]
    edits = {edit.version: edit.detail for edit in await store.edits(kept.id)}
    assert edits == {1: "three clips"} | {version: str(number) for number, version in enumerate(versions)}


async def test_many_processes_may_open_a_new_database_at_once(url: str) -> None:
    processes = [start(OPEN, url) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told = [await asyncio.to_thread(process.communicate) for process in processes]
    assert [(out, process.returncode) for (out, _), process in zip(told, processes, strict=True)] == [("0\n", 0)] * 4


async def test_killed_processes_lose_no_acknowledged_edit(url: str, item: MakeItem, content: MakeContent) -> None:
    acknowledged: dict[int, str] = {}
    async with Store(url) as store:
        made = await store.create(content(item(1, "a")), "create", "")
    # Two at a time: they also wait for each other.
    processes = [start(EDIT, url, made.id, name) for name in "ab"]
    for process in processes:
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
    time.sleep(0.3 + 0.1 * random.random())
    for process in processes:
        process.send_signal(signal.SIGKILL)
    for process in processes:
        out, _ = await asyncio.to_thread(process.communicate)
        assert process.returncode == -signal.SIGKILL  # none had given up before
        # What was cut off while it was printed was not acknowledged.
        for line in out.splitlines(keepends=True):
            if line.endswith("\n"):
                version, name = line.split()
                assert int(version) not in acknowledged
                acknowledged[int(version)] = name
    assert len(acknowledged) > 10
    async with Store(url) as store:
        read = await store.get(made.id)
        edits = await store.edits(made.id)
        # Version v has v clips; the one that it added is the last.
        assert len(read.content.items) == read.version >= max(acknowledged)
        for version, name in acknowledged.items():
            assert read.content.items[version - 1].id == name
        assert [edit.version for edit in edits] == list(range(read.version, 0, -1))[:1_000]
        assert (await store.edit(made.id, read.version, adding(item(2, "a")), "add-items", "")).version > read.version


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.02)


# Before the store: it opens with this patience.
@pytest.mark.usefixtures("_impatient")
async def test_callers_that_leave_neither_halt_others_nor_leave_half_an_edit(
    store: Store, kept: Stored, item: MakeItem
) -> None:
    chance = random.Random(5)
    made: list[int] = []

    async def edit(number: int) -> None:
        change = adding(item(100 + number, "a"))
        made.append((await store.edit(kept.id, None, change, "add-items", "")).version)

    started = time.monotonic()
    await edit(60)
    usual = time.monotonic() - started
    for number in range(60):
        editing = asyncio.create_task(edit(number))
        await asyncio.sleep(chance.random() * 2 * usual)
        editing.cancel()
        await asyncio.gather(editing, return_exceptions=True)
        await edit(100 + number)  # at once: nobody who left holds the file
    assert 61 < len(made) < 121
    read = await store.get(kept.id)
    assert len(read.content.items) == 2 + read.version
    assert read.version > len(made)  # the first version is the set as it was made
    assert set(made) <= {edit.version for edit in await store.edits(kept.id)}
    # Every connection is back in the pool: more than it holds can be used at once.
    assert set(await asyncio.gather(*(store.version(kept.id) for _ in range(40)))) == {read.version}


async def test_what_one_store_writes_another_sees(url: str, item: MakeItem, content: MakeContent) -> None:
    async with Store(url) as one, Store(url) as other:
        made = await one.create(content(item(1, "a")), "create", "")
        assert (await other.edit(made.id, 1, adding(item(2, "b")), "add-items", "")).version == 2
        assert await one.version(made.id) == 2
        with pytest.raises(Stale):
            await one.edit(made.id, 1, adding(item(3, "b")), "add-items", "")


async def test_an_edit_keeps_others_out_while_it_computes(url: str, item: MakeItem, content: MakeContent) -> None:
    entered = threading.Event()

    def slow(content: Content) -> Content:
        entered.set()
        time.sleep(0.2)  # the other edit asks meanwhile
        return adding(item(2, "slow"))(content)

    async with Store(url) as one, Store(url) as other:
        made = await one.create(content(item(1, "a")), "create", "")
        first = asyncio.create_task(one.edit(made.id, None, slow, "add-items", ""))
        await asyncio.to_thread(entered.wait)
        second = await other.edit(made.id, None, adding(item(3, "quick")), "add-items", "")
        assert ((await first).version, second.version) == (2, 3)
        assert second.content.tags == ("a", "quick", "slow")
