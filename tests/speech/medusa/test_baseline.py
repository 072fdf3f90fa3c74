"""The baseline: against scikit-learn alone, and on rows where it is known what can be learnt."""

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common.audio import decode_at
from common.audio.frames import speech_frames
from common.audio.functionals import FUNCTIONALS
from common.errors import OperatorError
from contracts.speech import SAMPLE_RATE
from speech.medusa import baseline
from speech.medusa.baseline import best_strength, fit, held_out, macro_f1, vectors

FEW = (0.01, 0.1)


@pytest.fixture(autouse=True)
def few_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them would be tried for every speaker."""
    monkeypatch.setattr(baseline, "STRENGTHS", FEW)


def rows(n: int = 90, classes: int = 3, noise: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """float (n, 40), int (n,), speakers: classes and speakers have directions of their own."""
    rng = np.random.default_rng(seed)
    labels, speakers = np.arange(n) % classes, np.arange(n) // classes % 6
    x = rng.normal(size=(classes, 40))[labels] + rng.normal(size=(6, 40))[speakers] + noise * rng.normal(size=(n, 40))
    return 3.0 * x + 7.0, labels, [f"s{number}" for number in speakers]


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_probabilities_are_scikit_learns(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rotation and the scale change nothing, and neither does the cut where nothing is cut."""
    monkeypatch.setattr(baseline, "CUT", 100.0)
    x, labels, speakers = rows(84, classes)
    model = fit(x[:60], labels[:60], speakers[:60], classes)
    strength = model.strength * 100 / x.shape[1]
    oracle = make_pipeline(StandardScaler(), LogisticRegression(C=strength, class_weight="balanced", max_iter=2_000))
    oracle.fit(x[:60], labels[:60])
    np.testing.assert_allclose(model.probabilities(x[60:]), oracle.predict_proba(x[60:]), atol=2e-3)


def test_probabilities_sum_to_one_for_far_rows_too() -> None:
    x, labels, speakers = rows()
    p = fit(x, labels, speakers, 3).probabilities(np.concatenate([x, 1e6 * x]))
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert np.isfinite(p).all()


def test_an_outlier_moves_no_more_than_three_deviations() -> None:
    x, labels, speakers = rows()
    model = fit(x, labels, speakers, 3)
    far, farther = (np.where(np.arange(40) == 0, size, x[:1]) for size in (1e3, 1e9))
    np.testing.assert_array_equal(model.probabilities(far), model.probabilities(farther))


def test_a_class_without_a_row_has_no_probability() -> None:
    x, labels, speakers = rows()
    p = fit(x, np.where(labels == 1, 2, labels), speakers, 4).probabilities(x)
    assert p.shape == (90, 4)
    assert (p[:, [1, 3]] == 0).all()


def test_rare_classes_weigh_as_much() -> None:
    """Nine rows in ten are of class 0, and the classes overlap: balanced, half of either is told right."""
    rng = np.random.default_rng(0)
    labels = (np.arange(400) % 10 == 0).astype(int)
    x = rng.normal(size=(400, 5)) + labels[:, None] * np.array([1.0, 0, 0, 0, 0])
    predicted = fit(x, labels, [f"s{i % 7}" for i in range(400)], 2).probabilities(x).argmax(axis=1)
    assert (predicted[labels == 1] == 1).mean() > 0.5


def test_held_out_speakers_are_never_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all regressions fitted for a speaker, also those that only choose the strength."""
    x, labels, speakers = rows(36)
    x[:, 0] = [int(name[1:]) for name in speakers]
    fitted, inner = [], baseline._fit

    def spy(x: np.ndarray, labels: np.ndarray, classes: int, strength: float) -> baseline.Baseline:
        fitted.append(set(x[:, 0].tolist()))
        return inner(x, labels, classes, strength)

    monkeypatch.setattr(baseline, "_fit", spy)
    predicted = held_out(x, labels, speakers, 3)
    assert set(predicted.tolist()) <= {0, 1, 2}
    each = len(fitted) // 6
    for speaker in range(6):
        assert all(speaker not in heard for heard in fitted[speaker * each : (speaker + 1) * each])
    # the choice leaves out one of the other five at a time, the last fit none
    assert sorted(len(heard) for heard in fitted[:each]) == [4] * (5 * len(FEW)) + [5]


def test_held_out_is_worse_where_only_speakers_can_be_learnt() -> None:
    """Every speaker has one label: across speakers there is nothing to learn."""
    rng = np.random.default_rng(0)
    speakers = np.arange(80) % 8
    labels = speakers % 2
    x = rng.normal(size=(8, 30))[speakers] + 0.1 * rng.normal(size=(80, 30))
    names = [f"s{i:02d}" for i in speakers]
    known = fit(x, labels, names, 2).probabilities(x).argmax(axis=1)
    assert macro_f1(labels, known, 2) == 1.0
    assert macro_f1(labels, held_out(x, labels, names, 2), 2) < 0.8


def test_the_strength_is_the_best_across_speakers() -> None:
    x, labels, speakers = rows(noise=4.0)
    chosen = best_strength(x, labels, speakers, 3)
    assert chosen in FEW
    assert chosen == fit(x, labels, speakers, 3).strength


def test_macro_f1_counts_a_class_that_is_not_there() -> None:
    """Specification, section 9.1: always all labels, 0 for an absent one."""
    assert macro_f1(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), 4) == pytest.approx(0.5)
    assert macro_f1(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 2) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_one_speaker_is_not_enough() -> None:
    x, labels, _ = rows(12)
    with pytest.raises(OperatorError, match="have one speaker"):
        fit(x, labels, ["s"] * 12, 3)


def test_one_class_is_not_enough() -> None:
    x, _, speakers = rows(12)
    with pytest.raises(OperatorError, match="all training clips have one label"):
        fit(x, np.zeros(12, int), speakers, 3)


def test_vectors_of_clips() -> None:
    clips = [speech_frames(np.random.default_rng(n).normal(size=n).astype(np.float32)) for n in (5_000, 9_000)]
    assert vectors(clips).shape == (2, len(FUNCTIONALS))


DATA = Path(os.environ.get("KITHARA_DATA", "")) / "emodb"


@pytest.mark.skipif(
    not os.environ.get("KITHARA_DATA") or not DATA.is_dir(),
    reason="no EmoDB: set KITHARA_DATA to the folder that holds emodb/",
)
def test_two_emotions_of_real_speakers_are_told_apart() -> None:
    """Anger and sadness, half of the speakers of training against the other half."""
    from speech.medusa.corpora.emodb import emodb

    corpus = emodb(DATA.parent)
    wanted = [corpus.classes.index(name) for name in ("anger", "sadness")]
    clips = [u for u in corpus.split("train") if u.target.argmax() in wanted][::2]
    x = vectors([speech_frames(decode_at(u.audio(), SAMPLE_RATE)) for u in clips])
    labels = np.array([wanted.index(int(u.target.argmax())) for u in clips])
    half = np.array([u.speaker in sorted({u.speaker for u in clips})[:4] for u in clips])
    names = [u.speaker for u, known in zip(clips, half, strict=True) if known]
    predicted = fit(x[half], labels[half], names, 2).probabilities(x[~half]).argmax(axis=1)
    assert macro_f1(labels[~half], predicted, 2) > 0.85
