"""Clusters, what is hidden, and a pre-training that is killed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dct

from common.audio.frames import FEATURES, MELS
from common.training.distributed import World
from common.training.run import Run, create
from speech.medusa.encoders import pretrain
from speech.medusa.encoders.clusters import Codebook, described, learn_codebook
from speech.medusa.encoders.pretrain import Clips, learn_acoustic, learn_text, spans
from speech.medusa.encoders.settings import Acoustic, Clusters, Masked, Text

SMALL = Acoustic(width=16, layers=1, heads=2, feed_forward=16, dropout=0.0)
FAST = Masked(epochs=2, batch=4, warmup=1, checkpoint_every=2, longest=80)


def clips(count: int, seed: int = 0) -> list[np.ndarray]:
    """Three sounds that last 120 ms each, in the same order in every clip."""
    rng = np.random.default_rng(seed)
    sounds = np.random.default_rng(7).normal(0, 2, (3, FEATURES))
    order = np.repeat(np.arange(3), 12)
    rows = [np.resize(order, 60 + 7 * n) for n in range(count)]
    return [(sounds[r] + rng.normal(0, 0.1, (len(r), FEATURES))).astype(np.float32) for r in rows]


def new_run(folder: Path) -> Run:
    return create(folder, system="medusa_encoder", command="test", config=FAST, seed=0, data=())


@pytest.mark.parametrize("frames", [1, 4, 7, 40])
def test_what_is_clustered_are_mfcc_and_the_voice_and_their_changes(frames: int) -> None:
    clip = clips(1)[0][:frames]
    found = described(clip)
    assert found.shape == (-(-frames // 4), 34)
    # Orthonormal but for a factor of each coefficient
    wanted = dct(clip[:4, :MELS].astype(np.float64), type=2, axis=1)[:, :13].mean(0) / 2
    if frames >= 4:
        assert found[0, :13] == pytest.approx(wanted, rel=1e-3, abs=1e-2)
        assert found[0, 13] == pytest.approx(clip[:4, MELS].mean(), rel=1e-4)
    if frames == 40:
        assert found[3, 17:] == pytest.approx((found[4, :17] - found[2, :17]) / 2, rel=1e-3, abs=1e-3)


@given(seed=st.integers(0, 100), count=st.integers(1, 12))
@settings(deadline=None, max_examples=20)
def test_a_unit_is_the_nearest_centre(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    mean, std = rng.normal(size=34).astype(np.float32), rng.uniform(0.5, 2, 34).astype(np.float32)
    book = Codebook(mean, std, rng.normal(size=(count, 34)).astype(np.float32))
    clip = clips(1, seed)[0]
    x = (described(clip) - mean) / std
    distance = np.linalg.norm(x[:, None].astype(np.float64) - book.centres[None], axis=2)
    chosen = distance[np.arange(len(x)), book.units(clip)]
    assert chosen == pytest.approx(distance.min(1), rel=1e-5)


def test_clusters_are_the_same_for_a_seed_and_find_the_sounds() -> None:
    given_clips = clips(4)
    book = learn_codebook(given_clips, Clusters(count=3), seed=1)
    again = learn_codebook(given_clips, Clusters(count=3), seed=1)
    assert np.array_equal(book.centres, again.centres)
    units = book.units(given_clips[3])
    # 12 frames of a sound are three of 40 ms; the middle one of each is that sound alone.
    assert len(set(units[1::9])) == len(set(units[4::9])) == len(set(units[7::9])) == 1
    assert len({units[1], units[4], units[7]}) == 3
    with pytest.raises(ValueError, match=r"cannot make 2000 clusters; lower clusters\.count"):
        learn_codebook(given_clips, Clusters(count=2_000), seed=0)
    assert learn_codebook(given_clips, Clusters(count=3, frames=30), seed=0).centres.shape == (3, 34)


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6), share=st.floats(0.05, 0.9), span=st.integers(1, 9))
def test_hidden_places_lie_in_the_clip_and_every_clip_has_one(lengths: list[int], share: float, span: int) -> None:
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    chosen = spans(mask, share, span)
    assert not (chosen & ~mask).any()
    assert chosen.any(1).all()
    for row, length in zip(chosen.tolist(), lengths, strict=True):
        runs = "".join("x" if hidden else " " for hidden in row[:length]).split(" ")
        # Only the end of the clip cuts a run short.
        assert all(len(run) >= span for run in runs[:-1] if run)


@pytest.mark.parametrize(("share", "span"), [(0.5, 5), (0.15, 1), (0.3, 10)])
def test_the_share_that_is_hidden(share: float, span: int) -> None:
    chosen = spans(torch.ones(200, 400, dtype=torch.bool), share, span, torch.Generator().manual_seed(0))
    assert float(chosen[:, span:].float().mean()) == pytest.approx(share, abs=0.01)


def test_a_longer_clip_is_cut_where_a_unit_begins() -> None:
    clip, units = torch.arange(100.0)[:, None], torch.arange(25)
    for _ in range(20):
        piece, some = pretrain._cut(40, clip, units)
        assert len(piece) == 40
        assert torch.equal(piece[::4, 0] / 4, some.float())
    assert pretrain._cut(100, clip, units) == (clip, units)


def test_hidden_sounds_are_found_again(tmp_path: Path) -> None:
    """The order of the sounds is always the same, so that neighbours tell what is hidden."""
    longer = Masked(epochs=25, batch=4, warmup=5, lr=5e-3, span=2, share=0.2)
    run = new_run(tmp_path)
    network = learn_acoustic(SMALL, Clusters(count=3), longer, Clips(clips(8), clips(2, 1)), run, World(), 0)
    assert run.manifest.selection is not None
    assert run.manifest.selection.value > 0.5  # a third by chance
    assert not network.training


def test_hidden_words_are_found_again(tmp_path: Path) -> None:
    rows = [np.resize(np.arange(4, 9), 10 + n) for n in range(8)]
    longer = Masked(epochs=25, batch=4, warmup=5, lr=5e-3, share=0.2)
    run = new_run(tmp_path)
    learn_text(Text(width=16, layers=1, heads=2, feed_forward=16), 12, longer, Clips(rows, rows[:2]), run, World(), 0)
    assert run.manifest.selection is not None
    assert run.manifest.selection.value > 0.4  # a fifth by chance


def test_a_killed_run_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_clips = Clips(clips(10), clips(2, 1))

    def learn(run: Run) -> dict[str, torch.Tensor]:
        return learn_acoustic(SMALL, Clusters(count=4), FAST, given_clips, run, World(), 3).state_dict()

    whole = learn(new_run(tmp_path / "whole"))
    killed, calls, real = new_run(tmp_path / "killed"), [0], pretrain.step

    def dies(*of_a_step: Any) -> dict[str, torch.Tensor]:
        calls[0] += 1
        if calls[0] == 5:
            raise KeyboardInterrupt
        return real(*of_a_step)

    monkeypatch.setattr(pretrain, "step", dies)
    with pytest.raises(KeyboardInterrupt):
        learn(killed)
    resumed = learn(killed)
    assert calls[0] == 5 + 2  # three batches of an epoch, two epochs; four steps were kept
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
