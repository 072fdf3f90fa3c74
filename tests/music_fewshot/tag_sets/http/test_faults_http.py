"""Many callers at once, a killed server, a database or a model that is not there."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import msgspec
import pytest

from common.errors import OperatorError
from common.settings import Settings
from contracts.music_fewshot import EditList, TagSet
from deploy.app import create_app

PATH = "/v1/music/tag-sets"


async def test_32_clients_lose_no_edit(open_music, url, make_sound) -> None:
    """Each renames its own tag by what it last read, and tags between; a conflict is told and tried again."""
    sounds = [make_sound(seed, 0.5).file for seed in range(4)]
    async with open_music(url) as music:
        tags = [f"t{i:02}" for i in range(32)]
        made = await music.made({f"c{j}": (sounds[j], tags[8 * j : 8 * j + 8]) for j in range(4)})
        key, conflicts, versions = made.summary.id, [], []

        async def client(i: int) -> None:
            name = tags[i]
            for step in range(2):
                while True:
                    etag = (await music.client.get(f"{PATH}/{key}")).headers["etag"]
                    new = f"{tags[i]}-{step}"
                    answer = await music.client.patch(
                        f"{PATH}/{key}/tags/{name}", json={"name": new}, headers={"if-match": etag}
                    )
                    if answer.status_code == 200:
                        versions.append(int(answer.headers["etag"].strip('"')))
                        name = new
                        break
                    assert answer.status_code == 412, answer.text
                    conflicts.append(i)
                told = await music.tag(key, sounds[i % 4], scores=32)
                assert name in {score.tag for score in told.clips[0].scores}

        await asyncio.gather(*map(client, range(32)))
        shown = await music.show(key)
        assert {t.name for t in shown.tags} == {f"{tag}-1" for tag in tags}
        assert (shown.summary.version, sorted(versions)) == (65, list(range(2, 66)))
        assert conflicts  # else they did not meet at all
        edits = msgspec.json.decode((await music.client.get(f"{PATH}/{key}/edits")).content, type=EditList).edits
        assert [e.version for e in edits] == list(range(65, 0, -1))


async def test_every_answer_knows_of_the_edits_acknowledged_before_it_was_asked_for(
    open_music, url, make_sound
) -> None:
    """Two processes' worth of applications over one database: a replica is never behind."""
    sound = make_sound(1, 0.5).file
    async with open_music(url) as left, open_music(url) as right:
        key = (await left.made({"a": (sound, ["x0"])})).summary.id
        for step in range(1, 4):
            await right.tag(key, sound)
            await left.client.patch(
                f"{PATH}/{key}/tags/x{step - 1}", json={"name": f"x{step}"}, headers={"if-match": "*"}
            )
            told = await right.tag(key, sound)
            assert (told.version, told.clips[0].tags) == (step + 1, (f"x{step}",))


async def test_while_the_database_cannot_be_opened_the_rest_is_served(open_music, tmp_path: Path, make_sound) -> None:
    blocked = tmp_path / "folder"
    blocked.write_text("a file where a folder is needed")
    async with open_music(f"sqlite+aiosqlite:///{blocked / 'x' / 'tag-sets.sqlite3'}") as music:
        for method, where in (("GET", ""), ("GET", "/" + "0" * 32), ("DELETE", "/" + "0" * 32)):
            answer = await music.client.request(method, PATH + where, headers={"if-match": "*"})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert "tag sets cannot be served now" in answer.json()["detail"]
        assert (await music.client.get("/v1/models")).status_code == 200
        assert (await music.client.get("/readyz")).status_code == 200
        blocked.unlink()
        until = time.monotonic() + 20
        while (await music.client.get(PATH)).status_code == 503 and time.monotonic() < until:
            await asyncio.sleep(0.2)
        await music.made({"a": (make_sound(1).file, ["x"])})


async def test_a_model_that_is_gone_or_another_is_told_with_the_remedy(
    open_music, tmp_path: Path, publish_model, make_sound
) -> None:
    url, sound = f"sqlite+aiosqlite:///{tmp_path / 'tag-sets.sqlite3'}", make_sound(1).file
    first, second = tmp_path / "first", tmp_path / "second"
    publish_model(first, tmp_path / "work", 1)
    publish_model(second, tmp_path / "work", 2)  # version 1 of the same name, other weights
    async with open_music(url, first) as music:
        made = await music.made({"a": (sound, ["x"])})
        file = (await music.client.get(f"{PATH}/{made.summary.id}/export")).content
        publish_model(first, tmp_path / "work", 3)
        await music.client.post("/v2/repository/models/music-embedding/load")
        await _refused(music, made.summary.id, sound, 409, "alias")
        assert (await music.made({"a": (sound, ["x"])})).summary.model == "music-embedding@2"
        # what needs no embedding goes on
        await music.client.patch(f"{PATH}/{made.summary.id}", json={"name": "n"}, headers={"if-match": "*"})
        assert (await music.show(made.summary.id)).summary.version == 2
    async with open_music(url, second) as music:
        await _refused(music, made.summary.id, sound, 409, "another graph")
        answer = await music.client.post(
            f"{PATH}/import", content=file, headers={"content-type": "application/octet-stream"}
        )
        assert answer.status_code == 409
        assert "publish that model version" in answer.json()["detail"]
        assert len((await music.client.get(PATH)).json()["tag_sets"]) == 2


async def _refused(music, key: str, sound: bytes, status: int, said: str) -> None:
    wav = {"content-type": "audio/wav"}
    for answer in (
        await music.client.post(f"{PATH}/{key}/tag", content=sound, headers=wav),
        await music.add(key, {"b": (sound, ["y"])}),
    ):
        assert answer.status_code == status, answer.text
        assert said in answer.json()["detail"]


def serve(models: Path, database: str) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--domain", "music_fewshot", "--models", str(models), "--database", database, "--threads", "1"]
    command = [sys.executable, "-W", "ignore", "-m", "deploy.cli", "serve", "--port", str(port), *flags]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, f"http://127.0.0.1:{port}"
        time.sleep(0.05)
    process.kill()
    process.wait()
    return pytest.fail("the server does not listen")


def test_a_killed_server_loses_no_acknowledged_edit(models_root: Path, url: str, make_sound) -> None:
    """kill -9 in the middle of the edits of four callers; then another process over the same database."""
    sound = make_sound(1, 0.5).file
    process, base = serve(models_root, url)
    acknowledged: list[list[str]] = [[], [], [], []]
    try:
        body = msgspec.json.encode({"name": "n", "items": [{"clip": "a", "tags": ["w0", "w1", "w2", "w3"]}]}).decode()
        made = httpx.post(base + PATH, data={"tag_set": body}, files={"a": ("a", sound, "audio/wav")})
        key = made.json()["summary"]["id"]

        def rename(worker: int) -> None:
            name = f"w{worker}"
            with httpx.Client() as client:
                for step in range(10_000):
                    new = f"w{worker}-{step}"
                    try:
                        answer = client.patch(
                            f"{base}{PATH}/{key}/tags/{name}", json={"name": new}, headers={"if-match": "*"}
                        )
                    except httpx.HTTPError:
                        return
                    assert answer.status_code == 200
                    acknowledged[worker].append(new)
                    name = new

        threads = [threading.Thread(target=rename, args=(worker,)) for worker in range(4)]
        for thread in threads:
            thread.start()
        while min(map(len, acknowledged)) < 5:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
    finally:
        process.kill()
        process.wait()
    process, base = serve(models_root, url)
    try:
        shown = msgspec.json.decode(httpx.get(f"{base}{PATH}/{key}").content, type=TagSet)
        edits = httpx.get(f"{base}{PATH}/{key}/edits").json()["edits"]
    finally:
        process.kill()
        process.wait()
    done = {edit["detail"].partition(" -> ")[2] for edit in edits}
    for worker, names in enumerate(acknowledged):
        (now,) = [tag.name for tag in shown.tags if tag.name.startswith(f"w{worker}")]
        step = int(now.partition("-")[2])
        # the last one may have been committed without having been acknowledged
        assert len(names) - 1 <= step <= len(names)
        assert set(names[-100:]) <= done
    assert shown.summary.version == len(done)
    if url.startswith("sqlite"):
        with sqlite3.connect(url.partition(":///")[2]) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()


async def test_uploads_are_refused_while_there_is_no_room_for_them(
    open_music, tmp_path: Path, make_sound, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = make_sound(1).file
    url = f"sqlite+aiosqlite:///{tmp_path / 'tag-sets.sqlite3'}"
    async with open_music(url) as music:
        key = (await music.made({"a": (sound, ["x"])})).summary.id
    monkeypatch.setattr("music_fewshot.app.UPLOADS", len(sound))
    async with open_music(url) as music:
        assert (await music.tag(key, sound)).clips[0].tags == ("x",)
        for answer in (await music.create({"a": (sound, ["x"])}), await music.add(key, {"b": (sound, ["x"])})):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
            assert answer.headers["connection"] == "close"
        assert (await music.tag(key, sound)).clips[0].tags == ("x",)


def test_a_database_that_is_none_ends_the_start() -> None:
    with pytest.raises(OperatorError, match="KITHARA_DATABASE"):
        create_app(Settings(database="mysql://u:secret@h/n"))
