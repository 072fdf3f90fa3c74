"""The feature store (issue 8, part 1; specification, section 10, check 12)."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import soundfile
from structlog.testing import capture_logs

from common.errors import OperatorError
from contracts.models import DataSource
from speech.features import to_speech
from speech.medusa.corpora.corpus import NOT_JUDGED, Corpus, Utterance, one_hot
from speech.medusa.encoders.frames import Frames
from speech.medusa.store import FeatureStore

CLASSES = ("calm", "cross")


class Counting:
    """Three numbers of every item: what the store must bring back. Counts the items that it is asked for."""

    def __init__(self, key: str = "counting-1", kind: Literal["audio", "text"] = "audio") -> None:
        self.key, self.kind, self.dim = key, kind, 3
        self.asked: list[int] = []

    def encode(self, items: Sequence[Any]) -> list[np.ndarray]:
        self.asked.append(len(items))
        return [np.array([[len(i), 1.0, 2.0]] * (1 + len(i) % 3), np.float32) for i in items]


def wav(seconds: float, seed: int) -> bytes:
    out = io.BytesIO()
    samples = np.random.default_rng(seed).normal(0, 0.1, int(seconds * 16_000))
    soundfile.write(out, samples, 16_000, format="WAV", subtype="FLOAT")
    return out.getvalue()


def utterance(name: str, audio: bytes, text: str | None = None) -> Utterance:
    return Utterance(name, "s", "train", text, one_hot("calm", CLASSES), NOT_JUDGED, True, lambda: audio)


@pytest.fixture(scope="module")
def clips() -> list[Utterance]:
    return [utterance(f"u{n}", wav(0.4 + 0.1 * n, n), f"word {'very ' * n}") for n in range(5)]


def corpus_of(utterances: Sequence[Utterance]) -> Corpus:
    source = DataSource(name="made", licence="none", sha256="0" * 64, items=len(utterances))
    return Corpus("made", CLASSES, False, False, tuple(utterances), ("an earlier line",), source, "open")


def test_features_are_those_of_the_decoded_recording(clips: list[Utterance], tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, half=False)
    for clip, found in zip(clips, store.features(corpus_of(clips), Frames()), strict=True):
        wanted = Frames().encode([to_speech(clip.audio(), clip.id).samples])[0]
        assert found.dtype == np.float32
        assert np.array_equal(found, wanted)


def test_a_second_pass_touches_no_encoder(clips: list[Utterance], tmp_path: Path) -> None:
    """Section 10, check 12: features cached once, the second training run does not touch the encoders."""
    first, second, encoder = FeatureStore(tmp_path, batch=2), FeatureStore(tmp_path), Counting()
    features = list(first.features(corpus_of(clips), encoder))
    assert (first.hits, first.misses, encoder.asked) == (0, 5, [2, 2, 1])
    again = list(second.features(corpus_of(clips), encoder))
    assert (second.hits, second.misses, encoder.asked) == (5, 0, [2, 2, 1])
    assert all(np.array_equal(a, b) for a, b in zip(features, again, strict=True))


def test_equal_recordings_are_encoded_once(clips: list[Utterance], tmp_path: Path) -> None:
    store, encoder = FeatureStore(tmp_path), Counting()
    twice = [clips[0], clips[1]._replace(id="other", audio=clips[0].audio), clips[2]]
    found = store.features(corpus_of(twice), encoder)
    assert encoder.asked == [2]
    assert np.array_equal(found[0], found[1])


def test_another_key_is_another_cache(clips: list[Utterance], tmp_path: Path) -> None:
    """A revision or a layer rule changes the key."""
    store = FeatureStore(tmp_path)
    store.features(corpus_of(clips), Counting("name@commit-1 sum-of-last-4"))
    for key in ("name@commit-2 sum-of-last-4", "name@commit-1 last"):
        encoder = Counting(key)
        store.features(corpus_of(clips), encoder)
        assert encoder.asked == [5]
    encoder = Counting("name@commit-1 sum-of-last-4")
    FeatureStore(tmp_path, half=False).features(corpus_of(clips), encoder)
    assert encoder.asked == [5]
    assert len(list(tmp_path.glob("*/encoder.txt"))) == 4


def test_a_killed_pass_goes_on_where_it_stood(clips: list[Utterance], tmp_path: Path) -> None:
    class Killed(Counting):
        def encode(self, items: Sequence[Any]) -> list[np.ndarray]:
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().encode(items)

    with pytest.raises(KeyboardInterrupt):
        FeatureStore(tmp_path, batch=2).features(corpus_of(clips), Killed())
    store, encoder = FeatureStore(tmp_path, batch=2), Counting()
    store.features(corpus_of(clips), encoder)
    assert (store.hits, store.misses) == (4, 1)


@pytest.mark.parametrize("spoil", ["cut", "empty", "bit"])
def test_a_broken_file_is_told_and_computed_anew(clips: list[Utterance], tmp_path: Path, spoil: str) -> None:
    whole = [f.copy() for f in FeatureStore(tmp_path).features(corpus_of(clips), Counting())]
    path = FeatureStore(tmp_path).features(corpus_of(clips), Counting()).paths[2]
    kept = path.read_bytes()
    path.write_bytes({"cut": kept[:-1], "empty": b"", "bit": kept[:-1] + bytes([kept[-1] ^ 1])}[spoil])
    store, encoder = FeatureStore(tmp_path), Counting()
    with capture_logs() as told:
        found = store.features(corpus_of(clips), encoder)
    assert [(line["event"], line["path"], line["log_level"]) for line in told] == [
        ("features.broken", str(path), "warning")
    ]
    assert (store.hits, store.misses, encoder.asked) == (4, 1, [1])
    assert all(np.array_equal(a, b) for a, b in zip(found, whole, strict=True))
    assert path.read_bytes() == kept


def test_a_file_that_breaks_after_it_was_looked_up_is_an_error(clips: list[Utterance], tmp_path: Path) -> None:
    found = FeatureStore(tmp_path).features(corpus_of(clips), Counting())
    found.paths[1].unlink()
    assert len(found[2:]) == 3
    with pytest.raises(OperatorError, match="has gone or broken"):
        found[1]


def test_what_cannot_be_heard_is_left_out_counted_and_told(clips: list[Utterance], tmp_path: Path) -> None:
    """Issue 8, bad input: short, silent, broken recordings and features that are no numbers."""

    class Spoilt(Counting):
        def encode(self, items: Sequence[Any]) -> list[np.ndarray]:
            rows = super().encode(items)
            rows[-1][0, 1] = np.nan
            return rows

    bad = [
        utterance("short", wav(0.2, 9)),
        utterance("silent", soundfile_silence()),
        utterance("noise", b"no sound file at all"),
    ]
    corpus = corpus_of([clips[0], *bad, clips[1], clips[2]])
    store, encoders = FeatureStore(tmp_path), {"whole": Counting("a"), "spoilt": Spoilt("b")}
    streams = store.streams(corpus, encoders)
    assert [u.id for u in streams.corpus.utterances] == ["u0", "u1"]
    assert {name: len(rows) for name, rows in streams.features.items()} == {"whole": 2, "spoilt": 2}
    earlier, *lines = streams.corpus.bad
    assert earlier == "an earlier line"
    assert [line.split(":")[0] for line in lines] == ["made, short", "made, silent", "made, noise", "made, u2"]
    assert "below 0.3 s" in lines[0]
    assert "is silent" in lines[1]
    assert "no finite numbers" in lines[3]
    asked = [list(e.asked) for e in encoders.values()]
    assert FeatureStore(tmp_path).streams(corpus, encoders).corpus.bad == streams.corpus.bad
    assert [e.asked for e in encoders.values()] == asked


def soundfile_silence() -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.zeros(8_000), 16_000, format="WAV")
    return out.getvalue()


def test_features_of_a_bad_recording_are_an_error_where_none_may_be_left_out(
    clips: list[Utterance], tmp_path: Path
) -> None:
    bad = utterance("noise", b"no sound file at all")
    with pytest.raises(OperatorError, match=r"made, noise: .*; leave the clip out"):
        FeatureStore(tmp_path).features(corpus_of([*clips, bad]), Counting())
    with pytest.raises(OperatorError, match="no clip can be encoded"):
        FeatureStore(tmp_path).streams(corpus_of([bad]), {"one": Counting()})


def test_texts_are_cached_by_their_words_and_none_is_read_as_empty(clips: list[Utterance], tmp_path: Path) -> None:
    store, encoder = FeatureStore(tmp_path), Counting(kind="text")
    texts = [clips[0], clips[1], utterance("none", b""), utterance("empty", b"", "")]
    found = store.features(corpus_of(texts), encoder)
    assert [int(f[0, 0]) for f in found] == [len("word "), len("word very "), 0, 0]
    assert encoder.asked == [3]


def test_half_precision_keeps_three_digits_and_refuses_what_it_cannot_hold(
    clips: list[Utterance], tmp_path: Path
) -> None:
    class Large(Counting):
        def encode(self, items: Sequence[Any]) -> list[np.ndarray]:
            return [np.full((1, 3), self.size, np.float32) for _ in items]

    encoder = Large()
    encoder.size = 123.456
    (found,) = FeatureStore(tmp_path).features(corpus_of(clips[:1]), encoder)
    assert found.dtype == np.float32
    assert found == pytest.approx(123.456, rel=5e-4)
    encoder.size, encoder.key = 1e6, "larger"
    with pytest.raises(OperatorError, match="too large for float16"):
        FeatureStore(tmp_path).features(corpus_of(clips[:1]), encoder)
    assert FeatureStore(tmp_path, half=False).features(corpus_of(clips[:1]), encoder)[0].max() == 1e6


def test_an_encoder_that_returns_another_shape_is_a_fault(clips: list[Utterance], tmp_path: Path) -> None:
    encoder = Counting()
    encoder.dim = 4
    with pytest.raises(ValueError, match=r"not \(frames, 4\)"):
        FeatureStore(tmp_path).features(corpus_of(clips), encoder)


def test_a_folder_that_cannot_be_made_is_an_operator_error(clips: list[Utterance], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OperatorError, match="name another feature store"):
        FeatureStore(tmp_path / "file").features(corpus_of(clips), Counting())
