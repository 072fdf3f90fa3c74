"""From a corpus to rows: splits by speaker, bad rows, features once, streams of the graph (sections 5, 10.12)."""

import io
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import torch
from torch.nn import functional as F

from common.audio.frames import MELS, speech_frames
from common.errors import OperatorError
from common.text.tokenizer import learn_tokenizer
from common.training.distributed import World
from contracts.models import DataSource
from contracts.speech import FRAMES
from speech.medusa import corpora
from speech.medusa import data as medusa_data
from speech.medusa.config import Config, Data, Member, Stream
from speech.medusa.corpora.corpus import NOT_JUDGED, Corpus, Utterance
from speech.medusa.data import load, one_hot, resplit
from speech.medusa.encoders.base import Kind
from speech.medusa.encoders.frames import Frames
from speech.medusa.model import Padded
from speech.medusa.rows import Clips, Rows, padded
from speech.medusa.sources import Read, pooled
from speech.medusa.streams import prepare, tokens_of, with_streams

SPLITS = ("train", "train", "train", "dev", "test", "test")
CONFIG = Config(
    data=Data(name="emodb"),
    streams={"mel": Stream(part="mel", pool=4), "whole": Stream(source="statistics", window=0), "all": Stream()},
    members=(Member(streams=("mel", "whole", "all")),),
)


def sound(number: int, seconds: float = 0.5) -> bytes:
    rng, buffer = np.random.default_rng(number), io.BytesIO()
    soundfile.write(buffer, 0.1 * rng.normal(size=int(16_000 * seconds)), 16_000, format="WAV")
    return buffer.getvalue()


def corpus(*, broken: tuple[int, ...] = ()) -> Corpus:
    """Six speakers with a clip each; a broken one is shorter than anything that is taken."""
    utterances = tuple(
        Utterance(
            id=f"u{n}",
            speaker=f"s{n}",
            split=split,
            text=None,
            target=np.array([0.25, 0.75] if n % 2 else [1.0, 0.0], np.float32),
            attributes=NOT_JUDGED,
            consensus=True,
            audio=lambda n=n: sound(n, 0.05 if n in broken else 0.5),
        )
        for n, split in enumerate(SPLITS)
    )
    source = DataSource(name="made", licence="none", sha256="0" * 64, items=6)
    return Corpus("made", ("calm", "loud"), False, True, utterances, ("made.tsv, line 9: no file",), source, "research")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(corpora, "load", lambda *_: corpus())


def test_rows_hold_what_the_corpus_says(given: None, tmp_path: Path) -> None:
    sets = load(CONFIG, tmp_path, tmp_path)
    assert [rows.ids for rows in sets[:3]] == [("u0", "u1", "u2"), ("u3",), ("u4", "u5")]
    assert sets.train.targets.tolist() == [[1.0, 0.0], [0.25, 0.75], [1.0, 0.0]]
    assert (sets.classes, sets.judged, sets.use) == (("calm", "loud"), False, "research")
    assert bool(sets.train.attributes.isnan().all())
    decoded = soundfile.read(io.BytesIO(sound(1)), dtype="float32")[0]
    np.testing.assert_allclose(sets.train.streams[FRAMES][1], speech_frames(decoded), atol=1e-3)
    assert sets.bad == ("made.tsv, line 9: no file",)


def test_a_row_that_cannot_be_heard_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(corpora, "load", lambda *_: corpus(broken=(1,)))
    sets = load(CONFIG, tmp_path, tmp_path)
    assert sets.train.ids == ("u0", "u2")
    assert sets.train.targets.shape == (2, 2)
    assert len(sets.bad) == 2
    assert "u1" in sets.bad[1]


def test_a_split_without_a_clip_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(corpora, "load", lambda *_: corpus(broken=(3,)))
    with pytest.raises(OperatorError, match="no clip with a consensus is in the split dev"):
        load(CONFIG, tmp_path, tmp_path)


def test_the_second_time_no_encoder_is_asked(given: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 10.12."""
    first = load(CONFIG, tmp_path, tmp_path)
    monkeypatch.setattr(Frames, "encode", lambda *_: pytest.fail("asked again"))
    second = load(CONFIG, tmp_path, tmp_path)
    for a, b in zip(first.train.streams[FRAMES], second.train.streams[FRAMES], strict=True):
        assert torch.equal(a, b)


def test_splits_by_name_of_the_speakers() -> None:
    moved = resplit(corpus(), Data(name="emodb", dev_speakers=("s0",), test_speakers=("s1", "s3")))
    assert [u.split for u in moved.utterances] == ["dev", "test", "train", "test", "train", "train"]
    with pytest.raises(OperatorError, match="nobody is called s9; its speakers are s0, s1"):
        resplit(corpus(), Data(name="emodb", dev_speakers=("s0",), test_speakers=("s9",)))


def test_one_hot_targets_are_for_training_alone(given: None, tmp_path: Path) -> None:
    hard = load(msgspec.structs.replace(CONFIG, data=Data(name="emodb", targets="one_hot")), tmp_path, tmp_path)
    assert hard.train.targets.tolist() == [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]
    assert hard.test.targets.tolist() == [[1.0, 0.0], [0.25, 0.75]]
    assert one_hot(torch.tensor([[0.5, 0.5]])).tolist() == [[1.0, 0.0]]


class Far:
    """A published encoder that gives the samples' mean, a thousand times."""

    key, dim = "far@1", 3
    kind: Kind = "audio"

    def encode(self, items: list[np.ndarray]) -> list[np.ndarray]:
        return [np.arange(1_000, dtype=np.float32)[:, None] * np.ones(3, np.float32) for _ in items]


def test_a_pretrained_stream_is_pooled_and_cut(given: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(medusa_data, "open_encoder", lambda *_: Far())
    stream = Stream(source="pretrained", encoder="far", pool=2, longest=7)
    config = msgspec.structs.replace(CONFIG, streams={"far": stream}, members=(Member(streams=("far",)),))
    sets = load(config, tmp_path, tmp_path)
    assert set(sets.keys) == {"far"}
    made = with_streams(sets, config, prepare(config, sets.train, tmp_path, World()))
    assert made.train.dims(["far"]) == {"far": 3}
    assert made.train.streams["far"][0][:, 0].tolist() == [0.5, 2.5, 4.5, 6.5, 8.5, 10.5, 12.5]
    assert made.keys["far"] == "far@1, 7 frames x2"


def test_streams_are_what_the_modules_of_the_graph_make(given: None, tmp_path: Path) -> None:
    sets = load(CONFIG, tmp_path, tmp_path)
    made = prepare(CONFIG, sets.train, tmp_path, World())
    found = with_streams(sets, CONFIG, made)
    frames = found.test.streams[FRAMES][0]
    torch.testing.assert_close(found.test.streams["all"][0], frames)
    expected = torch.stack([part.mean(0) for part in frames[:, :MELS].split(4)])
    torch.testing.assert_close(found.test.streams["mel"][0], expected)
    both = made.sources["whole"](padded(list(found.test.streams[FRAMES])))
    torch.testing.assert_close(found.test.streams["whole"][1], both.x[1, :1], atol=1e-4, rtol=1e-4)
    assert found.keys["whole"].startswith(sets.keys[FRAMES])


@pytest.mark.parametrize("pool", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 3, 4, 9])
def test_pooled_by_hand_whatever_is_padded(pool: int, length: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, length, 5)
    wide = F.pad(x, (0, 0, 0, 6), value=float("nan"))
    found = pooled(Padded(wide, torch.arange(length + 6)[None] < length), pool)
    expected = torch.stack([part.mean(0) for part in x[0].split(pool)])
    torch.testing.assert_close(found.x[found.mask], expected)


def test_clips_are_read_when_they_are_asked_for() -> None:
    asked: list[int] = []

    def make(number: int) -> torch.Tensor:
        asked.append(number)
        return torch.full((1, 1), float(number))

    clips = Clips(range(10), [7, 3, 5], make)
    part = Clips(clips, [2, 0])
    assert (len(part), asked) == (2, [])
    assert part[0].item() == 5
    assert [clip.item() for clip in clips[1:]] == [3, 5]
    assert asked == [5, 3, 5]


def test_selected_rows_keep_together() -> None:
    rows = Rows(
        ids=("a", "b", "c"),
        speakers=("x", "y", "z"),
        texts=("", "no", ""),
        streams={"s": [torch.full((n, 2), float(n)) for n in (1, 2, 3)]},
        targets=torch.eye(3),
        attributes=torch.arange(9.0).reshape(3, 3),
        consensus=torch.tensor([True, False, True]),
    )
    some = rows.select(torch.tensor([False, True, True]))
    assert (some.ids, some.speakers, some.texts) == (("b", "c"), ("y", "z"), ("no", ""))
    batch = some.batch(torch.tensor([1, 0]), ["s"])
    assert batch.streams["s"].mask.tolist() == [[True] * 3, [True, True, False]]
    assert batch.streams["s"].x[1].tolist() == [[2.0, 2.0], [2.0, 2.0], [0.0, 0.0]]
    assert batch.targets.tolist() == [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    assert batch.attributes[0].tolist() == [6.0, 7.0, 8.0]
    assert replace(some, ids=("q", "r")).labels.tolist() == [1, 2]


class Words(torch.nn.Module):
    """A vector of ones times the id for every token; no number where the mask hides it."""

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> Padded:
        x = ids[..., None] * torch.ones(2)
        return Padded(x.masked_fill(~mask[..., None], float("nan")), mask)


def test_an_empty_transcript_is_one_zero_vector() -> None:
    """Section 2.1; also beside a transcript with words."""
    ids = torch.tensor([[5, 6, 7], [0, 0, 0]])
    found = Read(Words())(ids, torch.tensor([[True, True, True], [False, False, False]]))
    assert found.mask.tolist() == [[True, True, True], [True, False, False]]
    assert found.x[0, :, 0].tolist() == [5.0, 6.0, 7.0]
    assert not bool(found.x[1].any())


def test_tokens_of_a_transcript() -> None:
    tokenizer = learn_tokenizer(["good morning", "good night"] * 3, 280)
    ids, mask = tokens_of("good", tokenizer)
    assert tokenizer.decode(ids[0].tolist()).strip() == "good"
    assert bool(mask.all())
    for nothing in ("", " \t "):
        ids, mask = tokens_of(nothing, tokenizer)
        assert (ids.shape, mask.tolist()) == ((1, 1), [[False]])
    with pytest.raises(ValueError, match="no tokenizer"):
        tokens_of("good", None)
