"""The whole corpus: the same every time, complete or absent, readable by training."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from common.errors import OperatorError
from music_fewshot.lc_protonets import corpora
from music_fewshot.render import corpus, presets
from music_fewshot.render.plan import SPLITS, plan
from music_fewshot.render.tags import kind


def rows(folder: Path, split: str) -> list[dict[str, str]]:
    with (folder / f"{split}.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def sounds(folder: Path, split: str) -> dict[str, np.ndarray]:
    """int16 (n,) by member."""
    found = {}
    with tarfile.open(folder / f"{split}.tar") as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            found[member.name], rate = soundfile.read(io.BytesIO(content.read()), dtype="int16")
            assert rate == 16_000
    return found


def test_the_same_seed_makes_the_same_bytes(small, synthesiser, tmp_path):
    corpus.make("small", presets.PRESETS["small"], 5, synthesiser, tmp_path / "again", lambda *_: None)
    first, again = (
        {path.name: path.read_bytes() for path in folder.iterdir()} for folder in (small[0], tmp_path / "again")
    )
    assert sorted(first) == sorted(again)
    assert [name for name in first if first[name] != again[name]] == []
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


@pytest.mark.usefixtures("small")
def test_another_seed_makes_another_corpus():
    plans = [plan(presets.PRESETS["small"], seed, lambda *_: None) for seed in (5, 6)]
    assert plans[0].clips["test"] != plans[1].clips["test"]


def test_every_row_has_its_sound(small):
    folder, _ = small
    for split, number in zip(SPLITS, presets.PRESETS["small"].clips, strict=True):
        told, heard = rows(folder, split), sounds(folder, split)
        assert [f"{row['id']}.flac" for row in told] == list(heard)
        assert len(told) == number
        assert {int(row["n_samples"]) for row in told} == {len(one) for one in heard.values()} == {64_000}


def test_no_clip_is_silent_or_clipped(small):
    for split in SPLITS:
        for name, sound in sounds(small[0], split).items():
            level = sound / 32768
            assert np.abs(level).max() == pytest.approx(0.708, abs=1e-3), name
            assert np.sqrt((level**2).mean()) > 0.01, name
            halves = [np.abs(half).max() for half in np.array_split(level, 2)]
            assert min(halves) > 0.02, name


def test_no_tune_stands_in_two_splits(small):
    tunes = [{row["tune"] for row in rows(small[0], split)} for split in SPLITS]
    assert sum(map(len, tunes)) == len(set.union(*tunes)) == 20


def test_the_manifest_counts_what_the_tables_hold(small):
    folder, manifest = small
    told = {split: [row["tags"].split("|") for row in rows(folder, split)] for split in SPLITS}
    every = [tags for split in told.values() for tags in split]
    assert {split: one.tags for split, one in manifest.splits.items()} == {
        split: Counter(tag for tags in some for tag in tags) for split, some in told.items()
    }
    assert manifest.tags == len({tag for tags in every for tag in tags})
    assert manifest.tags_per_clip == pytest.approx(np.mean([len(tags) for tags in every]), abs=1e-4)
    assert (manifest.use, json.loads((folder / "manifest.json").read_bytes())["use"]) == ("open", "open")
    assert {kind(tag) for tags in every for tag in tags} == {
        *("instrument", "family", "role", "tempo", "metre", "tradition")
    }


def test_every_row_names_its_licence(small):
    licences = {(row["source"], row["licence"]) for split in SPLITS for row in rows(small[0], split)}
    page = (small[0] / "SOURCE.md").read_text()
    assert {source for source, _ in licences} == {"irish", "scottish", "made"}
    assert all(f"- {source}: {licence}" in page for source, licence in licences)
    assert "NON-COMMERCIAL" not in page


def test_training_reads_it(small):
    found = corpora.load("rendered", small[0].parent)
    assert (found.name, found.use, found.sample_rate) == ("rendered", "open", 16_000)
    assert [len(found.splits[split].ids) for split in SPLITS] == [36, 12, 12]
    first = rows(small[0], "dev")[0]
    assert {tag for tag, on in zip(found.tags, found.splits["dev"].truth[0], strict=True) if on} == {
        tag for tag in first["tags"].split("|") if tag in found.tags
    }


@pytest.mark.usefixtures("small")
def test_the_study_says_that_it_is_not_for_commerce(tmp_path, synthesiser):
    preset = presets.preset("study", 24, 2.0)
    manifest = corpus.make("study", preset, 0, synthesiser, tmp_path / "study", lambda *_: None)
    licences = {row["source"]: row["licence"] for split in SPLITS for row in rows(tmp_path / "study", split)}
    assert manifest.use == "research"
    assert all(("non-commercial" in licences[one]) == (one in ("chinese", "german", "lorraine")) for one in licences)
    assert "**NON-COMMERCIAL" in (tmp_path / "study" / "SOURCE.md").read_text()


def test_a_failure_leaves_nothing(tmp_path, small, synthesiser, monkeypatch):
    def fails(*_):
        raise OperatorError("no")

    monkeypatch.setattr(corpus, "_described", fails)
    with pytest.raises(OperatorError):
        corpus.make("small", presets.preset("small", 20, 2.0), 0, synthesiser, tmp_path / "x", lambda *_: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("small")
def test_a_killed_run_leaves_nothing_that_looks_finished(tmp_path):
    command = [sys.executable, "-m", "deploy.cli", "data", "render-music", "--preset", "small", "--clips", "2000"]
    with subprocess.Popen([*command, "--out", str(tmp_path / "x")], stderr=subprocess.DEVNULL) as child:
        until = time.monotonic() + 60
        while not any(path.stat().st_size for path in tmp_path.glob(".x-*/train.tar")):
            assert time.monotonic() < until
            assert child.poll() is None
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
    assert not (tmp_path / "x").exists()
    assert not list(tmp_path.glob("*/SOURCE.md"))


@pytest.mark.parametrize("name", ["starter", "study", "small"])
def test_another_number_of_clips_keeps_the_proportions(name):
    for clips in (20, 77, 1000):
        changed = presets.preset(name, clips, None)
        assert sum(changed.clips) == clips
        assert min(changed.clips) >= 1
        assert changed.clips[0] / clips == pytest.approx(
            presets.PRESETS[name].clips[0] / sum(presets.PRESETS[name].clips), abs=0.1
        )
