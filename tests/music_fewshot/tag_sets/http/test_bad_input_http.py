"""What is wrong is said, all of it at once, and nothing is kept."""

from io import BytesIO

import msgspec
import numpy as np
import pytest
import soundfile

from contracts.problem import Problem

PATH = "/v1/music/tag-sets"


def wav(samples: np.ndarray, rate: int = 8000) -> bytes:
    out = BytesIO()
    soundfile.write(out, samples, rate, format="WAV", subtype="PCM_16")
    return out.getvalue()


SILENCE, BLIP = wav(np.zeros(8000)), wav(np.full(100, 0.5))


@pytest.fixture(scope="module")
def good(make_sound) -> bytes:
    return make_sound(1).file


async def nothing_kept(music) -> bool:
    return (await music.client.get(PATH)).json()["tag_sets"] == []


async def test_every_bad_clip_is_named(music, good) -> None:
    clips = {"good": good, "silent": SILENCE, "short": BLIP, "text": b"no sound at all", "cut": good[:900]}
    answer = await music.create({name: (file, ["x"]) for name, file in clips.items()})
    assert answer.status_code == 422
    said = {e["field"]: e["message"] for e in answer.json()["errors"]}
    assert set(said) == {"form.silent", "form.short", "form.text", "form.cut"}
    assert "silent" in said["form.silent"]
    assert "lasts 0.0125 s" in said["form.short"]
    assert "convert it" in said["form.text"]
    assert "cut off" in said["form.cut"]
    assert await nothing_kept(music)


async def test_a_clip_shorter_than_a_window_is_repeated(music, make_sound) -> None:
    sound = make_sound(1, 0.3)
    made = await music.made({"short": (sound.file, ["x"]), "long": (make_sound(2).file, ["y"])})
    assert (made.items[0].windows, made.items[0].seconds) == (1, 0.3)
    answer = await music.tag(made.summary.id, sound.file, rule="lcp", explain=1, segments="true")
    assert answer.clips[0].explanation.nearest.similarity == pytest.approx(1.0, abs=1e-6)
    assert [(s.start, s.end) for s in answer.clips[0].segments] == [(0, 0.3)]
    assert "repeated" in answer.clips[0].warnings[0]


LONG = "x" * 10_000


@pytest.mark.parametrize(
    ("items", "parts", "field", "said"),
    [
        ([("a", [])], "a", "form.tag_set.items[0].tags", ">= 1"),
        ([("a", ["x", "x"])], "a", "form.tag_set.items[0].tags", "'x' more than once"),
        ([("a", [LONG])], "a", "form.tag_set.items[0].tags[0]", "<= 200"),
        ([("a", [" x"])], "a", "form.tag_set.items[0].tags[0]", "matching regex"),
        ([("a", ["x\ny"])], "a", "form.tag_set.items[0].tags[0]", "matching regex"),
        ([("a", [str(i) for i in range(10_000)])], "a", "form.tag_set.items[0].tags", "<= 64"),
        ([(f"c{i}", [f"{i}.{j}" for j in range(50)]) for i in range(50)], "", "items", "at most 2000 different tags"),
        ([("a", ["x"]), ("b", ["y"])], "a", "form.tag_set.items[1].clip", "no part 'b'"),
        ([("a", ["x"])], "ab", "form.b", "no item names"),
        ([("a", ["x"]), ("a", ["y"])], "a", "form.tag_set.items[0].clip", "named by 2 items"),
        ([], "a", "form.tag_set.items", ">= 1"),
        ([(f"c{i}", ["x"]) for i in range(61)], "", "form.tag_set.items", "<= 60"),
    ],
)
async def test_wrong_items(music, good, items, parts, field, said) -> None:
    body = msgspec.json.encode({"name": "n", "items": [{"clip": c, "tags": t} for c, t in items]}).decode()
    names = parts or [c for c, _ in items]
    answer = await music.client.post(
        PATH, data={"tag_set": body}, files={name: (name, good, "audio/wav") for name in names}
    )
    assert answer.status_code == 422, answer.text
    problem = msgspec.json.decode(answer.content, type=Problem)
    assert field in [e.field for e in problem.errors]
    assert said in problem.detail
    assert len(answer.content) < 20_000
    assert await nothing_kept(music)


async def test_a_tag_set_that_explodes_is_declined_or_degrades_as_it_was_told(music, make_sound) -> None:
    # 40 clips, each without another one of 40 tags: 2^40 - 2 closed sets
    clips = {f"c{i}": (make_sound(i, 0.5).file, [f"t{j:02}" for j in range(40) if j != i]) for i in range(40)}
    refused = await music.create(clips)
    assert refused.status_code == 422
    assert "fewer tags on each clip" in refused.json()["detail"]
    assert await nothing_kept(music)
    made = await music.made(clips, overflow="degrade")
    assert (made.exact, made.closed_sets, made.combinations) == (False, 80, None)
    assert "degraded" in made.warnings[0]
    assert (await music.tag(made.summary.id, make_sound(3, 0.5).file)).exact is False
    strict = await music.client.patch(
        f"{PATH}/{made.summary.id}", json={"overflow": "refuse"}, headers={"if-match": "*"}
    )
    assert strict.status_code == 422
    assert (await music.show(made.summary.id)).summary.version == 1


@pytest.mark.parametrize(
    ("model", "status", "said"),
    [
        ("nobody", 404, "'nobody'"),
        ("music-embedding@9", 404, "'9'"),
        ("deaf", 422, "does not embed sound"),
        ("", 404, "''"),
    ],
)
async def test_a_model_that_is_none(music, good, model, status, said) -> None:
    answer = await music.create({"a": (good, ["x"])}, model=model)
    assert answer.status_code == status
    assert said in answer.json()["detail"]
    assert await nothing_kept(music)


@pytest.mark.parametrize(
    ("sent", "status", "field", "said"),
    [
        ({"content": b""}, 400, None, "empty"),
        ({"content": b"no sound"}, 415, None, "convert it"),
        ({"content": SILENCE}, 422, "file", "silent"),
        ({"content": BLIP}, 422, "file", "0.0125 s"),
        ({"content": SILENCE, "params": {"rule": "best"}}, 422, "query.rule", "best"),
        ({"content": SILENCE, "params": {"rule": "lcp", "k": 2}}, 422, "k", "takes none"),
        ({"content": SILENCE, "params": {"rule": "topk", "threshold": 0.5}}, 422, "threshold", "takes none"),
        ({"content": SILENCE, "params": {"k": 0}}, 422, "query.k", ">= 1"),
        ({"content": SILENCE, "params": {"explain": 51}}, 422, "query.explain", "<= 50"),
        ({"content": b"\0" * (32 * 1024 * 1024 + 1)}, 413, None, "33554432"),
        ({"content": b"x", "headers": {"content-type": "video/mp4"}}, 415, None, "video/mp4"),
    ],
)
async def test_what_cannot_be_tagged(music, good, sent, status, field, said) -> None:
    made = await music.made({"a": (good, ["x"])})
    answer = await music.client.post(
        f"{PATH}/{made.summary.id}/tag", **{"headers": {"content-type": "audio/wav"}, **sent}
    )
    assert answer.status_code == status, answer.text
    problem = msgspec.json.decode(answer.content, type=Problem)
    assert [e.field for e in problem.errors] == ([field] if field else [])
    assert said in problem.detail


async def test_a_threshold_that_cannot_be_found_is_asked_for(music, good) -> None:
    made = await music.made({"a": (good, ["x"])})
    url = f"{PATH}/{made.summary.id}/tag"
    wav = {"content-type": "audio/wav"}
    answer = await music.client.post(url, content=good, headers=wav, params={"rule": "threshold"})
    assert answer.status_code == 422
    assert "give a threshold" in answer.json()["detail"]
    given = await music.client.post(url, content=good, headers=wav, params={"rule": "threshold", "threshold": 0.5})
    assert given.json()["clips"][0]["tags"] == ["x"]


@pytest.mark.parametrize("where", ["", "/edits", "/export", "/self-check", "/tag", "/items", "/tags/x", "/items/x"])
@pytest.mark.parametrize("key", ["0" * 32, "x", "%00", "a" * 5000, "%F0%9F%8E%B5"])
async def test_an_id_that_is_none(music, good, where, key) -> None:
    url = f"{PATH}/{key}{where}"
    methods = {"/tag": "POST", "/items": "POST", "/tags/x": "PATCH", "/items/x": "DELETE"}
    sent = {
        "/tag": {"content": good, "headers": {"content-type": "audio/wav"}},
        "/tags/x": {"json": {"name": "y"}, "headers": {"if-match": "*"}},
    }.get(where, {"headers": {"if-match": "*"}})
    answer = await music.client.request(methods.get(where, "GET"), url, **sent)
    assert answer.status_code == 404
