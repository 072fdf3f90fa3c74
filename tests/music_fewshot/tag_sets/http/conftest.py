"""The whole app over one database: real HTTP parsing, a real repository, a real ONNX Runtime, a real store."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from common.settings import Settings
from contracts.music_fewshot import TagResponse, TagSet
from deploy.app import create_app

PATH = "/v1/music/tag-sets"


class Music:
    """A caller of the tag sets."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def create(self, clips: dict[str, tuple[bytes, list[str]]], **fields: Any) -> httpx.Response:
        """``clips``: file and tags by name."""
        items = [{"clip": name, "tags": tags} for name, (_, tags) in clips.items()]
        body = {"name": "mine", "items": items} | fields
        files = {name: (f"{name}.wav", file, "audio/wav") for name, (file, _) in clips.items()}
        return await self.client.post(PATH, data={"tag_set": msgspec.json.encode(body).decode()}, files=files)

    async def made(self, clips: dict[str, tuple[bytes, list[str]]], **fields: Any) -> TagSet:
        answer = await self.create(clips, **fields)
        assert answer.status_code == 201, answer.text
        return msgspec.json.decode(answer.content, type=TagSet)

    async def add(self, key: str, clips: dict[str, tuple[bytes, list[str]]], match: str = "*") -> httpx.Response:
        items = [{"clip": name, "tags": tags} for name, (_, tags) in clips.items()]
        files = {name: (f"{name}.wav", file, "audio/wav") for name, (file, _) in clips.items()}
        body = msgspec.json.encode({"items": items}).decode()
        return await self.client.post(
            f"{PATH}/{key}/items", data={"items": body}, files=files, headers={"if-match": match}
        )

    async def show(self, key: str) -> TagSet:
        answer = await self.client.get(f"{PATH}/{key}")
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content, type=TagSet)

    async def tag(self, key: str, *files: bytes, **options: Any) -> TagResponse:
        """One file as the body, several as a form."""
        url = f"{PATH}/{key}/tag"
        if len(files) == 1:
            answer = await self.client.post(
                url, content=files[0], headers={"content-type": "audio/wav"}, params=options
            )
        else:
            parts = {f"c{i}": (f"c{i}.wav", file, "audio/wav") for i, file in enumerate(files)}
            answer = await self.client.post(url, files=parts, data={k: str(v) for k, v in options.items()})
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content, type=TagResponse)


Open = Callable[..., Any]


@pytest.fixture
def open_music(models_root: Path, in_process: Open) -> Open:
    """``async with open_music(database_url, models=...) as music``"""

    @asynccontextmanager
    async def opened(url: str, models: Path = models_root) -> AsyncIterator[Music]:
        app = create_app(Settings(models=str(models), database=url, access_log=False, threads=1))
        async with in_process(app) as client:
            yield Music(client)

    return opened


@pytest.fixture
async def music(open_music: Open, tmp_path: Path) -> AsyncIterator[Music]:
    """Over an empty SQLite file."""
    async with open_music(f"sqlite+aiosqlite:///{tmp_path / 'tag-sets.sqlite3'}") as music:
        yield music
