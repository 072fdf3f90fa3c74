"""The speech route over the whole app: real HTTP parsing, a real repository, a real ONNX Runtime, a torch oracle."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import pytest_asyncio

from contracts.problem import Problem
from contracts.speech import EmotionResponse

with_client = pytest.mark.asyncio(loop_scope="module")
PATH = "/v1/speech/emotion"
WAV = {"content-type": "audio/wav"}
LABELS = ("anger", "boredom", "joy", "neutral")
RATE, LONGEST = 16_000, 4.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(models_root: Path, open_suite) -> AsyncIterator[httpx.AsyncClient]:
    async with open_suite(models_root) as client:
        yield client


async def asked(client: httpx.AsyncClient, file: bytes, **options: Any) -> EmotionResponse:
    response = await client.post(PATH, content=file, headers=WAV, params=options)
    assert response.status_code == 200, response.text
    return msgspec.json.decode(response.content, type=EmotionResponse)


def vector(scores: dict[str, float]) -> np.ndarray:
    return np.array(list(scores.values()))


def nats(p: np.ndarray) -> float:
    return float(-(p * np.log(p)).sum())


@pytest.mark.parametrize("seed", range(4))
@with_client
async def test_the_answer_is_the_graphs(client, hearer, make_voice, seed: int) -> None:
    voice = make_voice(seed, 1.0 + 0.7 * seed)
    answer = await asked(client, voice.file, top_k=2, embedding="true")
    said = hearer.answer(voice.samples)
    p = said.probabilities()
    assert tuple(answer.scores) == answer.labels == LABELS
    np.testing.assert_allclose(vector(answer.scores), p, atol=1e-5)
    assert sum(answer.scores.values()) == pytest.approx(1.0, abs=1e-12)
    order = np.argsort(-p)[:2]
    assert [one.label for one in answer.top] == [LABELS[i] for i in order]
    assert [one.score for one in answer.top] == [answer.scores[LABELS[i]] for i in order]
    assert answer.label == LABELS[order[0]]
    assert answer.entropy == pytest.approx(nats(p), abs=1e-4)
    np.testing.assert_allclose(answer.embedding or (), said.embedding, atol=1e-4)
    assert (answer.attributes, answer.text_used, answer.calibrated, answer.segments) == (None, False, True, None)
    assert answer.attributes_reason == "the model was not trained with attributes: emodb has none"
    assert (answer.seconds, answer.warnings) == (pytest.approx(1.0 + 0.7 * seed, abs=1e-4), ())
    assert (answer.model, answer.version, answer.use) == ("speech-emotion", 1, "open")


@with_client
async def test_uncalibrated_scores_are_those_of_the_network(client, hearer, make_voice) -> None:
    voice = make_voice(7)
    answer = await asked(client, voice.file, calibrated="false", top_k=100)
    np.testing.assert_allclose(vector(answer.scores), hearer.answer(voice.samples).probabilities(1.0), atol=1e-5)
    assert (answer.calibrated, len(answer.top), answer.embedding) == (False, 4, None)


@with_client
async def test_a_form_answers_as_the_raw_body_does(client, make_voice) -> None:
    file = make_voice(3).file
    raw = await client.post(PATH, content=file, headers=WAV | {"x-request-id": "abc"}, params={"top_k": 2})
    form = await client.post(PATH, files={"file": ("v.wav", file, "audio/wav")}, data={"top_k": "2"})
    left, right = raw.json(), form.json()
    assert left.pop("request_id") == "abc" == raw.headers["x-request-id"]
    right.pop("request_id")
    assert left == right
    assert float(raw.headers["server-timing"].partition("decode;dur=")[2].partition(",")[0]) > 0
    assert float(raw.headers["server-timing"].partition("infer;dur=")[2].partition(",")[0]) > 0


@pytest.mark.parametrize(
    ("rate", "form", "subtype", "close"),
    [
        (16_000, "FLAC", "PCM_16", 1e-6),
        (16_000, "OGG", "VORBIS", 0.1),
        (8_000, "WAV", "ULAW", 0.5),
        (44_100, "WAV", "FLOAT", 0.1),
    ],
)
@with_client
async def test_other_files_of_the_same_voice(client, make_voice, rate: int, form: str, subtype: str, close) -> None:
    """Specification, section 10.11: stereo at 44.1 kHz (below) and mu-law at 8 kHz are read."""
    plain = await asked(client, make_voice(5, 2.0).file)
    other = await asked(client, make_voice(5, 2.0, rate, form=form, subtype=subtype).file)
    assert other.seconds == pytest.approx(2.0, abs=0.01)
    np.testing.assert_allclose(vector(other.scores), vector(plain.scores), atol=close)


@with_client
async def test_stereo_is_the_mean_of_its_channels(client, hearer, make_voice, encode) -> None:
    left, right = make_voice(1, 1.2), make_voice(2, 1.2)
    both = np.stack([left.samples, right.samples], 1)
    answer = await asked(client, encode((both * 32768).astype(np.int16)))
    p = hearer.answer(both.mean(1)).probabilities()
    np.testing.assert_allclose(vector(answer.scores), p, atol=1e-5)


@with_client
async def test_a_long_recording_is_the_mean_of_equal_pieces(client, hearer, make_voice) -> None:
    voice = make_voice(11, 9.9995)
    answer = await asked(client, voice.file, embedding="true")
    pieces = np.array_split(voice.samples, 3)
    assert len({len(piece) for piece in pieces}) > 1  # they differ by a sample, and are weighted by it
    said, weights = [hearer.answer(piece) for piece in pieces], [len(piece) / len(voice.samples) for piece in pieces]
    p = np.average([one.probabilities() for one in said], axis=0, weights=weights)
    np.testing.assert_allclose(vector(answer.scores), p, atol=1e-5)
    np.testing.assert_allclose(
        answer.embedding or (), np.average([one.embedding for one in said], axis=0, weights=weights), atol=1e-4
    )
    assert answer.entropy == pytest.approx(nats(p), abs=1e-4)
    assert "3 pieces of 3.3 s" in answer.warnings[0]


@with_client
async def test_a_segment_is_answered_as_if_it_were_sent_alone(client, make_voice, encode) -> None:
    voice = make_voice(12, 5.2)
    answer = await asked(client, voice.file, segments="true", window_s=1.5, hop_s=0.8)
    assert answer.segments
    assert answer.segments[0].start == 0
    assert answer.segments[-1].end == pytest.approx(5.2)
    for one in answer.segments:
        start, stop = round(one.start * RATE), round(one.end * RATE)
        alone = await asked(client, encode((voice.samples[start:stop] * 32768).astype(np.int16)))
        np.testing.assert_allclose(vector(one.scores), vector(alone.scores), atol=1e-4)
        assert (one.label, one.attributes) == (alone.label, None)
        assert one.entropy == pytest.approx(alone.entropy, abs=1e-4)
    starts = [one.start for one in answer.segments]
    np.testing.assert_allclose(np.diff(starts)[:-1], 0.8)
    assert vector(answer.scores) == pytest.approx(vector((await asked(client, voice.file)).scores), abs=1e-5)
    assert answer.warnings == ()  # whoever asked for segments sees the changes


@with_client
async def test_a_recording_shorter_than_a_window_is_one_segment(client, make_voice) -> None:
    answer = await asked(client, make_voice(4, 1.1).file, segments="true", window_s=3.0)
    assert answer.segments
    assert [(one.start, one.end) for one in answer.segments] == [(0.0, pytest.approx(1.1))]
    assert vector(answer.segments[0].scores) == pytest.approx(vector(answer.scores), abs=1e-5)


@with_client
async def test_what_makes_an_answer_less_reliable_is_said(client, make_voice, encode) -> None:
    short = await asked(client, make_voice(1, 0.6).file)
    assert len(short.warnings) == 1
    assert "0.6" in short.warnings[0]
    loud = np.clip(make_voice(2, 2.0).samples * 9, -1, 32767 / 32768)
    clipped = await asked(client, encode((loud * 32768).astype(np.int16)))
    assert len(clipped.warnings) == 1
    unread = await asked(client, make_voice(3).file, text="thank you")
    assert (unread.text_used, len(unread.warnings)) == (False, 1)
    assert "hears sound only" in unread.warnings[0]
    plain = await asked(client, make_voice(3).file)
    assert unread.scores == plain.scores


@with_client
async def test_a_model_that_reads_gets_the_transcript(client, reader, make_voice, read_words) -> None:
    voice = make_voice(6, 2.0)
    answer = await asked(client, voice.file, model="speech-reader", text="never again")
    ids = read_words("never again")
    said = reader.answer(voice.samples, ids)
    np.testing.assert_allclose(vector(answer.scores), said.probabilities(), atol=1e-5)
    assert answer.attributes
    assert said.attributes is not None
    told = [answer.attributes.arousal, answer.attributes.valence, answer.attributes.dominance]
    np.testing.assert_allclose(told, said.attributes, atol=1e-4)
    assert (answer.text_used, answer.attributes_reason, answer.warnings) == (True, None, ())


@pytest.mark.parametrize("text", [None, "", " \n\t", "\x01"])
@with_client
async def test_without_a_transcript_a_model_that_reads_hears_the_sound_alone(client, reader, make_voice, text) -> None:
    """Specification, sections 2.1 and 10.11: the empty transcript is one zero vector, whose mask hides it."""
    voice = make_voice(6, 2.0)
    options = {} if text is None else {"text": text}
    answer = await asked(client, voice.file, model="speech-reader", **options)
    np.testing.assert_allclose(vector(answer.scores), reader.answer(voice.samples).probabilities(), atol=1e-5)
    assert answer.text_used is False
    assert "heard the sound alone" in answer.warnings[0]


@with_client
async def test_what_a_transcript_has_too_much_is_not_read_and_that_is_said(client, reader, make_voice, read_words):
    voice, text = make_voice(8), "rain sun thank you never again glad angry"
    answer = await asked(client, voice.file, model="speech-reader", text=text)
    p = reader.answer(voice.samples, read_words(text)[:6]).probabilities()
    np.testing.assert_allclose(vector(answer.scores), p, atol=1e-5)
    assert "read the first 6" in answer.warnings[0]


@with_client
async def test_pieces_are_heard_with_the_transcript_and_windows_without(client, reader, make_voice, read_words) -> None:
    voice = make_voice(9, 5.0)
    answer = await asked(
        client, voice.file, model="speech-reader", text="glad sun", segments="true", window_s=2.5, hop_s=2.5
    )
    halves = np.array_split(voice.samples, 2)
    whole = [reader.answer(half, read_words("glad sun")) for half in halves]
    np.testing.assert_allclose(vector(answer.scores), np.mean([o.probabilities() for o in whole], axis=0), atol=1e-5)
    assert answer.attributes
    valence = np.mean([said.attributes[1] for said in whole if said.attributes is not None])
    assert answer.attributes.valence == pytest.approx(valence, abs=1e-4)
    assert answer.segments
    for one, half in zip(answer.segments, halves, strict=True):
        np.testing.assert_allclose(vector(one.scores), reader.answer(half).probabilities(), atol=1e-5)
        assert one.attributes


@pytest.mark.parametrize(
    ("sent", "status", "field", "said"),
    [
        ({"content": b""}, 400, None, "empty"),
        ({"content": b"no sound"}, 415, None, "convert it"),
        ({"cut": 2000}, 400, None, "cut off"),
        ({"seconds": 0.2}, 422, "file", "lasts 0.2 s"),
        ({"seconds": -1.0}, 422, "file", "silent"),
        ({"content": b"\0" * (32 * 1024 * 1024 + 1)}, 413, None, "33554432"),
        ({"headers": {"content-type": "video/mp4"}}, 415, None, "video/mp4"),
        ({"params": {"top_k": 0}}, 422, "query.top_k", ">= 1"),
        ({"params": {"colour": "red"}}, 422, "query.colour", "unknown"),
        ({"params": {"segments": "true", "window_s": 0.1}}, 422, "query.window_s", ">= 0.5"),
        ({"params": {"segments": "true", "window_s": 4.5}}, 422, "window_s", "at most 4 s"),
        ({"params": {"text": "x" * 4001}}, 422, "query.text", "<= 4000"),
        ({"params": {"model": "nobody"}}, 404, None, "nobody"),
        ({"params": {"model": "speech-emotion@7"}}, 404, None, "'7'"),
        ({"params": {"model": "deaf"}}, 422, "model", "its task is image-classification"),
    ],
)
@with_client
async def test_what_is_wrong_is_said(client, make_voice, encode, sent, status: int, field: str, said: str) -> None:
    content = make_voice(1).file
    if (seconds := sent.pop("seconds", None)) is not None:
        content = make_voice(1, seconds).file if seconds > 0 else encode(np.zeros(RATE, np.int16))
    sent = {"content": content[: sent.pop("cut", None)], "headers": WAV, **sent}
    response = await client.post(PATH, **sent)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = msgspec.json.decode(response.content, type=Problem)
    assert [error.field for error in problem.errors] == ([field] if field else [])
    assert said in problem.detail


@with_client
async def test_too_long_and_too_finely_cut(client, make_voice, encode) -> None:
    long = encode(np.tile((make_voice(1, 2.0).samples * 32768).astype(np.int16), 301), form="FLAC")
    response = await client.post(PATH, content=long, headers={"content-type": "audio/flac"})
    assert (response.status_code, "600 s" in response.text) == (413, True)
    two_minutes = encode(np.tile((make_voice(1, 2.0).samples * 32768).astype(np.int16), 65), form="FLAC")
    fine = {"segments": "true", "window_s": 0.5, "hop_s": 0.1}
    response = await client.post(PATH, content=two_minutes, headers={"content-type": "audio/flac"}, params=fine)
    assert response.status_code == 422
    (error,) = msgspec.json.decode(response.content, type=Problem).errors
    assert error.field == "hop_s"
    assert "at most 1200" in error.message


@with_client
async def test_recordings_are_refused_while_there_is_no_room_for_them(
    models_root: Path, open_suite, make_voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = make_voice(1, 0.5).file, make_voice(1, 2.0).file
    monkeypatch.setattr("speech.app.UPLOADS", len(small))
    async with open_suite(models_root) as client:
        for path in (PATH, f"{PATH}/batch"):
            answer = await client.post(path, content=large, headers=WAV)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert (await client.post(PATH, content=small, headers=WAV)).status_code == 200
