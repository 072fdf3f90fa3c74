"""Readers of the data sets: what SOURCE.md counts, tags in order, and files that are not what they should be."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.errors import OperatorError
from music_fewshot.lc_protonets.corpora import NAMES, SPLITS, load
from music_fewshot.lc_protonets.corpora.emotify import EMOTIONS
from music_fewshot.lc_protonets.corpora.generated import PARTIALS, SAMPLES, TIMBRES, Recipe, generated, play, tone

CLIPS = {
    "train": [("a", 16_000, "low|drum"), ("b", 8_000, "low"), ("c", 16_000, "low|drum|bell")],
    "dev": [("d", 16_000, "")],
    "test": [("e", 16_000, "drum|unheard"), ("f", 16_000, "bell")],
}
"""id, samples, tags"""


def ramp(samples: int) -> np.ndarray:
    return (np.arange(samples) % 3_001).astype(np.int16)


def flac(samples: np.ndarray, rate: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    lines = ["\t".join(rows[0]), *("\t".join(map(str, row.values())) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    folder = tmp_path / "rendered_music"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"licence": "CC0 1.0", "use": "open", "seed": 3}), "utf-8")
    for split, clips in CLIPS.items():
        write_tar(folder / f"{split}.tar", {f"{name}.flac": flac(ramp(samples)) for name, samples, _ in clips})
        rows = [{"id": name, "tags": tags, "n_samples": samples} for name, samples, tags in clips]
        write_table(folder / f"{split}.tsv", rows)
    return folder


@pytest.fixture
def emotify(tmp_path: Path) -> Path:
    """Of four listeners, so many of each clip marked the emotions as the row says."""
    folder = tmp_path / "emotify"
    folder.mkdir()
    for split, votes in {"train": [[1] * 9, [4, 0, 1, *[0] * 6]], "dev": [[0] * 9], "test": [[0] * 8 + [2]]}.items():
        names = [f"{split}{i}" for i in range(len(votes))]
        write_tar(folder / f"{split}.tar", {f"{name}.opus": flac(ramp(900)) for name in names})
        rows = [
            {
                "id": name,
                "n_annotators": 4,
                **{f"votes_{e}": n for e, n in zip(EMOTIONS, row, strict=True)},
                "n_samples": 900,
            }
            for name, row in zip(names, votes, strict=True)
        ]
        write_table(folder / f"{split}.tsv", rows)
    return folder


def arrays(folder: Path, stem: str, inputs: str, items: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> None:
    ids = np.array([f"{stem}{i}" for i in range(len(items))])
    found = {inputs: items, "labels": labels, "ids": ids, "label_names": np.array(names)}
    np.savez(folder / f"{stem}.npz", allow_pickle=False, **found)


@pytest.fixture
def emotions(tmp_path: Path) -> Path:
    folder = tmp_path / "music_multilabel_tabular"
    folder.mkdir()
    for part, n in (("train", 5), ("test", 3)):
        labels = (np.arange(n)[:, None] % np.array([5, 1, 2]) == 0).astype(np.uint8)
        arrays(folder, f"emotions_{part}", "features", np.eye(n, 4, dtype=np.float32), labels, ("x", "y", "z"))
    return folder


def test_tags_stand_by_their_frequency_in_training(rendered: Path) -> None:
    corpus = load("rendered", rendered.parent)
    assert (corpus.tags, corpus.base) == (("low", "drum", "bell"), 2)
    assert (corpus.licence, corpus.use, corpus.kind, corpus.sample_rate) == ("CC0 1.0", "open", "waveform", 16_000)
    assert {name: split.ids for name, split in corpus.splits.items()} == {
        name: tuple(clip for clip, _, _ in clips) for name, clips in CLIPS.items()
    }
    found = {name: split.truth.astype(int).tolist() for name, split in corpus.splits.items()}
    # A tag that training does not know cannot be asked for.
    assert found == {"train": [[1, 1, 0], [1, 0, 0], [1, 1, 1]], "dev": [[0, 0, 0]], "test": [[0, 1, 0], [0, 0, 1]]}


def test_sound_is_read_to_the_bit_and_short_clips_are_repeated(rendered: Path) -> None:
    clips = load("rendered", rendered.parent).splits["train"].inputs
    assert clips.dtype == np.int16
    np.testing.assert_array_equal(clips[[0, 2]], [ramp(16_000)] * 2)
    np.testing.assert_array_equal(clips[1], np.concatenate([ramp(8_000)] * 2))


def test_an_emotion_counts_from_a_quarter_of_the_listeners_on(emotify: Path) -> None:
    corpus = load("emotify", emotify.parent)
    assert (corpus.tags[:2], corpus.base, corpus.use) == (("amazement", "tenderness"), 5, "research")
    # Equally frequent tags stand by name.
    assert corpus.tags[2:] == tuple(sorted(set(EMOTIONS) - {"amazement", "tenderness"}))
    assert corpus.splits["train"].truth.tolist() == [[True] * 9, [True, True, *[False] * 7]]
    assert [corpus.tags[i] for i in np.flatnonzero(corpus.splits["test"].truth[0])] == ["sadness"]
    assert not corpus.splits["dev"].truth.any()


def test_a_table_has_an_empty_development_part(emotions: Path) -> None:
    corpus = load("emotions", emotions.parent)
    assert (corpus.tags, corpus.base, corpus.kind) == (("y", "z", "x"), 2, "features")
    assert [corpus.splits[split].inputs.shape for split in SPLITS] == [(5, 4), (0, 4), (3, 4)]
    assert corpus.splits["train"].truth.sum(0).tolist() == [5, 3, 1]


def test_the_digest_follows_every_file(rendered: Path) -> None:
    first = load("rendered", rendered.parent).sha256
    assert load("rendered", rendered.parent).sha256 == first
    write_tar(rendered / "dev.tar", {"d.flac": flac(ramp(16_000) + 1)})
    assert load("rendered", rendered.parent).sha256 != first


def cut(folder: Path) -> None:
    content = (folder / "test.tar").read_bytes()
    (folder / "test.tar").write_bytes(content[: len(content) // 3])


def pointer(folder: Path) -> None:
    (folder / "train.tar").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "utf-8")


def other_rate(folder: Path) -> None:
    write_tar(folder / "dev.tar", {"d.flac": flac(ramp(16_000), 8_000)})


def stereo(folder: Path) -> None:
    write_tar(folder / "dev.tar", {"d.flac": flac(np.stack([ramp(16_000)] * 2, axis=1))})


def no_sound(folder: Path) -> None:
    write_tar(folder / "dev.tar", {"d.flac": b"these are no samples"})


def other_member(folder: Path) -> None:
    write_tar(folder / "dev.tar", {"x.flac": flac(ramp(16_000))})


def no_column(folder: Path) -> None:
    write_table(folder / "dev.tsv", [{"id": "d", "n_samples": 16_000}])


def uneven(folder: Path) -> None:
    (folder / "dev.tsv").write_text("id\ttags\tn_samples\nd\t\n", "utf-8")


def no_text(folder: Path) -> None:
    (folder / "dev.tsv").write_bytes(b"id\ttags\tn_samples\n\xff\t\t1\n")


def twice(folder: Path) -> None:
    for suffix in ("tar", "tsv"):
        (folder / f"test.{suffix}").write_bytes((folder / f"train.{suffix}").read_bytes())


def no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def no_terms(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"licence": "CC0 1.0"}', "utf-8")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (cut, r"test\.tar"),
        (pointer, r"train\.tar.*git lfs pull"),
        (other_rate, r"dev\.tar.*8000 Hz"),
        (stereo, r"dev\.tar"),
        (no_sound, r"dev\.tar"),
        (other_member, r"dev\.tar.*d\.flac"),
        (no_column, r"dev\.tsv.*no column tags"),
        (uneven, r"dev\.tsv"),
        (no_text, r"dev\.tsv"),
        (twice, "twice"),
        (no_manifest, r"manifest\.json.*--data"),
        (no_terms, r"manifest\.json.*use"),
    ],
)
def test_a_broken_set_of_clips_is_told_by_file(rendered: Path, spoil: Callable[[Path], None], told: str) -> None:
    spoil(rendered)
    with pytest.raises(OperatorError, match=told):
        load("rendered", rendered.parent)


@pytest.mark.parametrize("votes", ["5", "-1", "many"])
def test_votes_that_cannot_be_are_refused(emotify: Path, votes: str) -> None:
    table = emotify / "train.tsv"
    table.write_text(table.read_text("utf-8").replace("\t4\t4\t", f"\t4\t{votes}\t"), "utf-8")
    with pytest.raises(OperatorError, match=r"train\.tsv"):
        load("emotify", emotify.parent)


GOOD = np.eye(3, 4, dtype=np.float32)
LABELS = np.array([[1, 0, 1], [0, 1, 0], [1, 1, 0]], np.uint8)


@pytest.mark.parametrize(
    ("items", "labels", "names"),
    [
        (GOOD.astype(np.float64), LABELS, ("x", "y", "z")),
        (GOOD[:, :3], LABELS, ("x", "y", "z")),
        (np.where(GOOD, np.float32(np.nan), GOOD), LABELS, ("x", "y", "z")),
        (GOOD, 2 * LABELS, ("x", "y", "z")),
        (GOOD, LABELS[:2], ("x", "y", "z")),
        (GOOD, LABELS, ("x", "z", "y")),
    ],
)
def test_a_broken_table_is_told_by_file(
    emotions: Path, items: np.ndarray, labels: np.ndarray, names: tuple[str, ...]
) -> None:
    arrays(emotions, "emotions_test", "features", items, labels, names)
    with pytest.raises(OperatorError, match=r"emotions_test\.npz"):
        load("emotions", emotions.parent)


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    (tmp_path / "makam_pitch").mkdir()
    for split in SPLITS:
        arrays(tmp_path / "makam_pitch", split, "pitchgram", np.zeros((3, 240, 90), np.uint8), LABELS, ("x", "y", "z"))
    with pytest.raises(OperatorError, match=r"train\.npz"):
        load("makam_pitch", tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"version https://git-lfs.github.com/spec/v1\n"])
def test_what_is_no_archive_is_told(emotions: Path, content: bytes) -> None:
    (emotions / "emotions_train.npz").write_bytes(content)
    with pytest.raises(OperatorError, match=r"emotions_train\.npz"):
        load("emotions", emotions.parent)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "generated"])
def test_a_set_needs_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="KITHARA_DATA"):
        load(name, None)
    with pytest.raises(OperatorError, match=r"cannot be read .*--data"):
        load(name, tmp_path)


def test_another_name_is_told_those_that_there_are() -> None:
    with pytest.raises(OperatorError, match=r"magnatagatune.*emotify"):
        load("magnatagatune", None)


def test_tones_are_a_function_of_the_seed() -> None:
    first, again, other = generated(0), generated(0), generated(1)
    for split in SPLITS:
        np.testing.assert_array_equal(first.splits[split].inputs, again.splits[split].inputs)
        np.testing.assert_array_equal(first.splits[split].truth, again.splits[split].truth)
    assert first.sha256 == again.sha256 != other.sha256
    assert not np.array_equal(first.splits["train"].inputs, other.splits["train"].inputs)


def test_every_tone_has_one_timbre_and_one_register() -> None:
    corpus = load("generated", None)
    assert (len(corpus.tags), corpus.base, corpus.use) == (16, 10, "open")
    for split in corpus.splits.values():
        assert split.inputs.shape == (len(split.ids), SAMPLES)
        for group in (tuple(TIMBRES), ("low", "middle", "high")):
            assert (split.truth[:, [corpus.tags.index(tag) for tag in group]].sum(1) == 1).all()
        assert (split.truth.sum(0) > 6).all()  # three shots and a query at least, in every part
        assert 16_384 / 2 - 1 <= np.abs(split.inputs.astype(int)).max(1).min() <= np.abs(split.inputs).max() <= 16_384


def heard(*options: str, timbre: str = "pure", register: str = "middle") -> np.ndarray:
    """float64 (SAMPLES,) at peak 1."""
    sound = play(Recipe(timbre, register, frozenset(options)), np.random.default_rng(5)).astype(float)
    return sound / np.abs(sound).max()


def band(sound: np.ndarray, low: float, high: float) -> float:
    """Share of the power between two frequencies (Hz); a clip of one second has a bin per hertz."""
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float(power[int(low) : int(high)].sum() / power.sum())


def test_every_tag_can_be_heard() -> None:
    """Each option against the same tone without it."""
    plain = heard()
    assert band(heard("drum"), 30, 90) > 0.05 > 0.005 > band(plain, 30, 90)
    assert band(heard("hiss"), 2_000, 8_000) > 0.005 > 0.0005 > band(plain, 2_000, 8_000)
    assert band(heard("clicks"), 2_000, 8_000) > 0.005
    assert band(heard("sweep"), 600, 5_500) > 0.05 > 0.005 > band(plain, 600, 5_500)
    assert np.mean(np.abs(heard("pulsed")) < 0.05) > 0.4 > 0.1 > np.mean(np.abs(plain) < 0.05)
    faded = np.abs(heard("fading"))
    assert faded[: SAMPLES // 4].mean() > 4 * faded[-SAMPLES // 4 :].mean()
    # Frequency modulation and a glide spread the fundamental; a fifth adds a second one.
    width = {name: len(peaks(heard(*name))) for name in ((), ("vibrato",), ("glide",))}
    assert width[()] < 5 < width["vibrato",]
    assert width[()] < 5 < width["glide",]
    strong = peaks(heard("fifth"))
    assert strong.max() / strong.min() == pytest.approx(1.5, rel=0.02)


def peaks(sound: np.ndarray) -> np.ndarray:
    """Frequencies (Hz) at which the spectrum is at least a tenth of its maximum."""
    spectrum = np.abs(np.fft.rfft(sound))
    return np.flatnonzero(spectrum > 0.1 * spectrum.max())


@pytest.mark.parametrize(("register", "low", "high"), [("low", 110, 156), ("middle", 330, 467), ("high", 990, 1_401)])
def test_registers_do_not_overlap(register: str, low: int, high: int) -> None:
    assert low <= peaks(heard(register=register)).mean() <= high


@pytest.mark.parametrize("timbre", TIMBRES)
def test_a_tone_has_the_partials_of_its_timbre(timbre: str) -> None:
    spectrum = np.abs(np.fft.rfft(tone(np.full(SAMPLES, 400.0), TIMBRES[timbre])))
    found = spectrum[400 * np.arange(1, PARTIALS + 1)]
    np.testing.assert_allclose(found / found[0], TIMBRES[timbre] / TIMBRES[timbre][0], atol=1e-9)


def test_no_partial_is_folded_back() -> None:
    spectrum = np.abs(np.fft.rfft(tone(np.full(SAMPLES, 3_000.0), TIMBRES["bright"])))
    np.testing.assert_array_equal(np.flatnonzero(spectrum > 1e-3 * spectrum.max()), [3_000, 6_000])


@pytest.fixture(scope="module")
def published() -> Path:
    folder = Path(os.environ.get("KITHARA_DATA", ""))
    missing = [name for name in ("emotify", "makam_pitch", "music_multilabel_tabular") if not (folder / name).is_dir()]
    if missing:
        pytest.skip(f"set KITHARA_DATA to a folder with {', '.join(missing)}")
    return folder


def test_published_sets_have_the_counts_of_their_description(published: Path) -> None:
    corpora = {name: load(name, published) for name in ("emotify", "makam_pitch", "cal500", "emotions")}
    shapes = {name: tuple(corpus.splits[s].inputs.shape for s in SPLITS) for name, corpus in corpora.items()}
    assert shapes == {
        "emotify": ((254, 192_000), (79, 192_000), (57, 192_000)),
        "makam_pitch": ((689, 240, 180), (107, 240, 180), (171, 240, 180)),
        "cal500": ((359, 68), (0, 68), (123, 68)),
        "emotions": ((391, 72), (0, 72), (162, 72)),
    }
    assert {name: (len(corpus.tags), corpus.base) for name, corpus in corpora.items()} == {
        "emotify": (9, 5),
        "makam_pitch": (50, 30),
        "cal500": (174, 104),
        "emotions": (6, 4),
    }
    assert {corpus.use for corpus in corpora.values()} == {"research"}
    # Emotify: 3.3 labels a clip by the description; a makam recording has exactly one makam.
    every = np.concatenate([split.truth for split in corpora["emotify"].splits.values()])
    assert every.sum(1).mean() == pytest.approx(3.3, abs=0.05)
    makams = [i for i, tag in enumerate(corpora["makam_pitch"].tags) if tag.startswith("makam---")]
    assert len(makams) == 20
    for split in corpora["makam_pitch"].splits.values():
        assert (split.truth[:, makams].sum(1) == 1).all()
