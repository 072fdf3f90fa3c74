"""Out over HTTP, in over HTTP: another tag set that answers alike."""

import numpy as np
import pytest

PATH = "/v1/music/tag-sets"
FILE = {"content-type": "application/octet-stream"}


@pytest.mark.parametrize("rule", ["lcp", "blend", "centred"])
async def test_an_imported_tag_set_answers_as_the_exported_one(music, make_sound, rule) -> None:
    clips = {f"c{i}": (make_sound(i).file, tags) for i, tags in enumerate([["x"], ["x", "y"], ["y", "z"], ["z"]])}
    made = await music.made(clips, decision={"rule": rule}, description="d")
    answer = await music.client.get(f"{PATH}/{made.summary.id}/export")
    assert answer.headers["content-type"] == "application/octet-stream"
    name = f"tag-set-{made.summary.id}-v1.safetensors"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["etag"] == '"1"'
    imported = await music.client.post(f"{PATH}/import", content=answer.content, headers=FILE)
    assert (imported.status_code, imported.headers["etag"]) == (201, '"1"')
    key = imported.json()["summary"]["id"]
    assert imported.headers["location"] == f"{PATH}/{key}"
    assert key != made.summary.id
    shown = await music.show(key)
    assert (shown.tags, shown.combinations, shown.summary.decision) == (
        made.tags,
        made.combinations,
        made.summary.decision,
    )
    assert [i.clip for i in shown.items] == [i.clip for i in made.items]
    for seed in range(3):
        sound = make_sound(100 + seed).file
        left, right = [(await music.tag(one, sound)).clips[0] for one in (made.summary.id, key)]
        assert left == right
    again = await music.client.get(f"{PATH}/{key}/export")
    assert len(again.content) == len(answer.content)


@pytest.mark.parametrize(
    ("content", "headers", "status", "said"),
    [
        (b"", FILE, 400, "empty"),
        (b"\xff" * 100, FILE, 400, "cut off"),
        (b"x", {"content-type": "application/json"}, 415, "application/octet-stream"),
        (b"\0" * (64 * 1024 * 1024 + 1), FILE, 413, "67108864"),
    ],
)
async def test_what_is_no_exported_file(music, content, headers, status, said) -> None:
    answer = await music.client.post(f"{PATH}/import", content=content, headers=headers)
    assert answer.status_code == status
    assert said in answer.json()["detail"]


async def test_another_dimension_is_refused(music, make_sound) -> None:
    from safetensors.numpy import load, save

    made = await music.made({"a": (make_sound(1).file, ["x"])})
    file = (await music.client.get(f"{PATH}/{made.summary.id}/export")).content
    header = file[8 : 8 + int.from_bytes(file[:8], "little")].decode()
    import json

    wide = np.pad(load(file)["embeddings"], ((0, 0), (0, 1)))
    forged = save({"embeddings": wide}, json.loads(header)["__metadata__"])
    answer = await music.client.post(f"{PATH}/import", content=forged, headers=FILE)
    assert answer.status_code == 422
    assert "float32 [1, 8] is needed" in answer.json()["detail"]
