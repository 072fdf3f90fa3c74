"""What the routes answer, by value: against the matcher on embeddings that the test computes itself."""

from typing import get_args

import numpy as np
import pytest

from contracts.music_fewshot import Decision, Rule
from music_fewshot.lc_protonets.index import TagIndex
from music_fewshot.lc_protonets.rules import decide

TAGS = [["banjo"], ["banjo", "fast"], ["fiddle", "fast"], ["fiddle"], ["fiddle", "slow"], ["banjo", "slow"]]
NAMES = ("banjo", "fast", "fiddle", "slow")


def label_sets(rows: list[list[str]], names: tuple[str, ...] = NAMES) -> list[int]:
    return [sum(1 << names.index(tag) for tag in tags) for tags in rows]


@pytest.fixture(scope="module")
def support(make_sound):
    return [make_sound(seed) for seed in range(len(TAGS))]


@pytest.fixture(scope="module")
def clips(support):
    return {f"s{i}": (sound.file, tags) for i, (sound, tags) in enumerate(zip(support, TAGS, strict=True))}


@pytest.fixture(scope="module")
def index(support, make_projection):
    model = make_projection(1)
    return TagIndex.build(np.stack([model.of_samples(s.samples) for s in support]), label_sets(TAGS), len(NAMES))


@pytest.mark.parametrize("rule", get_args(Rule))
@pytest.mark.parametrize("seed", [100, 101])
async def test_tags_are_those_of_the_matcher(music, clips, index, make_sound, make_projection, rule, seed) -> None:
    made = await music.made(clips)
    sound = make_sound(seed, 2.3)
    answer = await music.tag(made.summary.id, sound.file, rule=rule)
    query = make_projection(1).of_samples(sound.samples)[None]
    wanted = decide(index, query, Decision(rule=rule))
    (clip,) = answer.clips
    assert set(clip.tags) == {NAMES[i] for i in np.flatnonzero(wanted.chosen[0])}
    scores = {score.tag: score.score for score in clip.scores}
    np.testing.assert_allclose([scores[name] for name in NAMES], wanted.scores[0], atol=1e-5)
    assert [s.score for s in clip.scores] == sorted((s.score for s in clip.scores), reverse=True)
    assert {s.tag for s in clip.scores if s.chosen} == set(clip.tags)
    assert (answer.decision.rule, answer.decision.k) == (rule, wanted.k)
    assert answer.decision.threshold == pytest.approx(wanted.threshold, abs=1e-5)
    assert (clip.windows, clip.seconds) == (4, pytest.approx(2.3))
    assert (answer.version, answer.tag_set, answer.model, answer.exact) == (
        1,
        made.summary.id,
        "music-embedding@1",
        True,
    )


async def test_the_request_decides_otherwise_than_the_tag_set(music, clips, make_sound) -> None:
    made = await music.made(clips, decision={"rule": "topk", "k": 1})
    own = await music.tag(made.summary.id, make_sound(100).file)
    assert (own.decision, len(own.clips[0].tags)) == (Decision(rule="topk", k=1), 1)
    three = await music.tag(made.summary.id, make_sound(100).file, k=3, scores=0)
    assert (three.decision.k, len(three.clips[0].tags), len(three.clips[0].scores)) == (3, 3, 3)
    none = await music.tag(made.summary.id, make_sound(100).file, rule="threshold", threshold=1.0, scores=2)
    assert (none.clips[0].tags, len(none.clips[0].scores)) == ((), 2)


async def test_many_clips_are_tagged_as_each_alone(music, clips, make_sound) -> None:
    made = await music.made(clips)
    sounds = [make_sound(200 + i, 0.3 + 0.9 * i) for i in range(7)]  # 1 to 11 windows, in executions of at most 3
    options = {"explain": 2, "segments": "true"}
    together = (await music.tag(made.summary.id, *(s.file for s in sounds), **options)).clips
    assert [clip.clip for clip in together] == [f"c{i}" for i in range(7)]
    for clip, one in zip(together, sounds, strict=True):
        (alone,) = (await music.tag(made.summary.id, one.file, **options)).clips
        assert (clip.tags, clip.windows, clip.seconds) == (alone.tags, alone.windows, alone.seconds)
        np.testing.assert_allclose([s.score for s in clip.scores], [s.score for s in alone.scores], atol=1e-5)
        assert [s.tags for s in clip.segments] == [s.tags for s in alone.segments]


async def test_the_reasons_are_the_nearest_combinations_and_clips(
    music, clips, index, support, make_sound, make_projection
) -> None:
    made = await music.made(clips)
    sound = make_sound(101)
    (clip,) = (await music.tag(made.summary.id, sound.file, rule="lcp", explain=3)).clips
    model = make_projection(1)
    query = model.of_samples(sound.samples).astype(np.float64)
    # brute force: the prototype of every subset of tags that a clip carries
    vectors = np.stack([model.of_samples(s.samples) for s in support]).astype(np.float64)
    masks = label_sets(TAGS)
    found = {}
    for mask in index.sets:
        extent = [i for i, other in enumerate(masks) if mask & other == mask]
        mean = vectors[extent].mean(0)
        found[mask] = (query @ mean / np.linalg.norm(query) / np.linalg.norm(mean), extent)
    best = sorted(found, key=lambda mask: -found[mask][0])
    near = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    assert clip.explanation is not None
    for told, mask in zip(clip.explanation.combinations, best[:3], strict=True):
        assert told.tags == tuple(NAMES[i] for i in range(4) if mask >> i & 1)
        assert told.similarity == pytest.approx(found[mask][0], abs=1e-5)
        assert told.support == len(found[mask][1])
        order = sorted(found[mask][1], key=lambda i: -near[i])
        assert [c.clip for c in told.clips] == [f"s{i}" for i in order]
        assert [c.similarity for c in told.clips] == pytest.approx([near[i] for i in order], abs=1e-5)
    assert set(clip.explanation.combinations[0].tags) == set(clip.tags)
    assert clip.explanation.margin == pytest.approx(found[best[0]][0] - found[best[1]][0], abs=1e-5)
    assert clip.explanation.nearest.clip == f"s{near.argmax()}"


async def test_each_window_is_tagged_by_itself(music, clips, index, make_sound, make_projection) -> None:
    made = await music.made(clips)
    sound = make_sound(102, 1.7)
    (clip,) = (await music.tag(made.summary.id, sound.file, rule="lcp", segments="true")).clips
    rows = sound.samples[:12000].reshape(3, 4000)
    wanted = decide(index, np.stack([make_projection(1).of_samples(row) for row in rows]), Decision(rule="lcp"))
    assert [(s.start, s.end) for s in clip.segments] == [(0, 0.5), (0.5, 1.0), (1.0, 1.5)]
    for segment, chosen in zip(clip.segments, wanted.chosen, strict=True):
        assert set(segment.tags) == {NAMES[i] for i in np.flatnonzero(chosen)}


async def test_one_more_support_changes_the_answer_as_it_must(music, clips, index, make_sound, make_projection) -> None:
    made = await music.made(clips)
    sound = make_sound(103)
    before = (await music.tag(made.summary.id, sound.file, rule="lcp")).clips[0].tags
    added = await music.add(made.summary.id, {"new": (sound.file, ["harp"])}, '"1"')
    assert (added.status_code, added.headers["etag"]) == (200, '"2"')
    after = await music.tag(made.summary.id, sound.file, rule="lcp", explain=1)
    assert (before, after.version) != (("harp",), 1)
    # the clip itself is now the only carrier of the tag: no cosine is higher than its 1
    assert after.clips[0].tags == ("harp",)
    assert after.clips[0].explanation.nearest.similarity == pytest.approx(1.0, abs=1e-6)
    assert "no test of it" in after.clips[0].warnings[0]


async def test_the_same_answers_after_a_restart(open_music, url, clips, make_sound) -> None:
    def told(response):
        return [(clip.tags, clip.scores, clip.explanation) for clip in response.clips], response.decision

    files = [make_sound(300 + i).file for i in range(3)]
    async with open_music(url) as music:
        made = await music.made(clips)
        await music.add(made.summary.id, {"more": (make_sound(50).file, ["harp", "slow"])})
        before = told(await music.tag(made.summary.id, *files, explain=5))
        shown = await music.show(made.summary.id)
    async with open_music(url) as music:
        assert told(await music.tag(made.summary.id, *files, explain=5)) == before
        assert await music.show(made.summary.id) == shown


async def test_any_order_of_edits_equals_a_rebuild(music, clips, make_sound) -> None:
    names = list(clips)
    straight = await music.made(clips)
    crooked = await music.made({"gone": (make_sound(60).file, ["odd", "fast"]), names[3]: clips[names[3]]})
    key = crooked.summary.id
    await music.add(
        key, {name: (clips[name][0], ["wrong" if t == "slow" else t for t in clips[name][1]]) for name in names[4:]}
    )
    await music.client.delete(f"/v1/music/tag-sets/{key}/items/{crooked.items[0].id}", headers={"if-match": "*"})
    await music.add(key, {name: clips[name] for name in names[:3]})
    renamed = await music.client.patch(
        f"/v1/music/tag-sets/{key}/tags/wrong", json={"name": "slow"}, headers={"if-match": "*"}
    )
    assert renamed.status_code == 200
    shown = await music.show(key)
    assert (shown.tags, shown.combinations, shown.closed_sets) == (
        straight.tags,
        straight.combinations,
        straight.closed_sets,
    )
    for rule in get_args(Rule):
        left, right = [await music.tag(one, make_sound(104).file, rule=rule) for one in (key, straight.summary.id)]
        assert left.clips[0].tags == right.clips[0].tags
        assert [s.tag for s in left.clips[0].scores] == [s.tag for s in right.clips[0].scores]
        np.testing.assert_allclose(
            [s.score for s in left.clips[0].scores], [s.score for s in right.clips[0].scores], atol=1e-9
        )
