"""The baseline beside the ensemble: the same clips, no copies, nobody that it heard."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from common.audio.frames import speech_frames
from common.audio.functionals import functionals
from contracts.speech import FRAMES, FUNCTIONALS
from speech.medusa import rival
from speech.medusa.rows import Rows


def rows(ids: tuple[str, ...], labels: list[int], consensus: list[bool], clips: list[torch.Tensor]) -> Rows:
    return Rows(
        ids=ids,
        speakers=tuple(name[0] for name in ids),
        texts=("",) * len(ids),
        streams={FUNCTIONALS: clips},
        targets=torch.eye(2)[torch.tensor(labels)],
        attributes=torch.full((len(ids), 3), float("nan")),
        consensus=torch.tensor(consensus),
    )


def test_copies_and_clips_without_a_label_are_not_learnt_from() -> None:
    clips = [torch.full((1, 2), float(n)) for n in range(4)]
    left = rival.usable(rows(("a1", "a1@0.9", "b1", "b2"), [0, 0, 1, 1], [True, True, False, True], clips))
    assert left.ids == ("a1", "b2")
    assert rival.vectors(left).tolist() == [[0.0, 0.0], [3.0, 3.0]]


def test_frames_are_described_where_the_corpus_has_no_functionals() -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 8_000).astype(np.float32)
    frames = speech_frames(sound)
    given = rows(("a1",), [0], [True], [torch.zeros(1, 1)])
    given = Rows(**{**given.__dict__, "streams": {FRAMES: [torch.from_numpy(frames)]}})
    np.testing.assert_array_equal(rival.vectors(given)[0], functionals(frames))


def test_each_fold_is_answered_by_who_heard_only_the_others() -> None:
    """Speaker c says the two classes the other way round: whoever had heard c would be right there."""
    rng = np.random.default_rng(1)
    speakers, labels = np.repeat(["a", "b", "c", "d", "e"], 20), np.tile([0, 1], 50)
    side = np.where(speakers == "c", -1.0, 1.0) * np.where(labels == 1, 1.0, -1.0)
    clips = [torch.tensor([[value, 0.1 * rng.normal()]], dtype=torch.float32) for value in side]
    ids = tuple(f"{name}{number}" for number, name in enumerate(speakers))
    given = rows(ids, labels.tolist(), [True] * 100, clips)
    only = given.select(torch.tensor(speakers != "c"))
    folds = torch.tensor([0 if name in "ab" else 1 for name in only.speakers])
    assert (rival.over_folds(only, folds, 2) == only.labels.numpy()).all()
    held = given.select(torch.tensor(speakers == "c"))
    assert (rival.asked(only, held, 2) != held.labels.numpy()).all()


def test_the_lead_is_the_difference_of_both_figures() -> None:
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 200)
    ours, theirs = (np.where(rng.random(200) < right, labels, rng.integers(0, 3, 200)) for right in (0.8, 0.4))
    found = {m.name: m for m in rival.compared("test", ours, theirs, labels, ("x", "y", "z"))}
    f1 = [float(f1_score(labels, said, average="macro")) for said in (ours, theirs)]
    assert found["baseline_macro_f1"].value == pytest.approx(f1[1])
    lead = found["over_baseline_macro_f1"]
    assert lead.value == pytest.approx(f1[0] - f1[1])
    assert lead.interval is not None
    assert 0 < lead.interval.low < lead.value < lead.interval.high
    nobody = {m.name: m for m in rival.compared("test", ours, ours, labels, ("x", "y", "z"))}
    assert nobody["over_baseline_macro_f1"].interval == type(lead.interval)(low=0.0, high=0.0)
