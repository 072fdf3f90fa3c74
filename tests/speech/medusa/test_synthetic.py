"""The made set (section 9, L0)."""

import msgspec
import numpy as np
import pytest
import torch

from common.audio.frames import FEATURES, MELS
from contracts.speech import FRAMES
from speech.medusa.config import Config, Data, Synthetic
from speech.medusa.rows import Sets
from speech.medusa.synthetic import CLASSES, SHARES, TEXTS, synthetic_sets


def made(seed: int = 0, **sizes: float) -> Sets:
    settings = {"train": 2_000, "dev": 80, "test": 160} | sizes
    return synthetic_sets(Config(seed=seed, data=Data(synthetic=msgspec.convert(settings, Synthetic))))


@pytest.fixture(scope="module")
def plain() -> Sets:
    return made(noise=0.0)


def test_class_order_is_that_of_the_challenge() -> None:
    assert CLASSES == ("Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Contempt", "Neutral")
    assert sum(SHARES) == pytest.approx(1)


def test_a_function_of_the_seed_with_other_speakers_in_every_split() -> None:
    first, again, other = made(), made(), made(1)
    assert first.source == again.source != other.source
    people = [set(rows.speakers) for rows in first[:3]]
    assert not (people[0] & people[1] | people[0] & people[2] | people[1] & people[2])
    assert len({i for rows in first[:3] for i in rows.ids}) == 2_240
    assert torch.bincount(first.test.labels).tolist() == [20] * 8


def test_the_layout_is_that_of_the_front_end(plain: Sets) -> None:
    assert plain.train.dims([FRAMES]) == {FRAMES: FEATURES}
    assert all(clip.dtype == torch.float32 and bool(clip.isfinite().all()) for clip in plain.train.streams[FRAMES])


def factors(sets: Sets) -> tuple[np.ndarray, np.ndarray]:
    """The acoustic and the text factor of every test clip, found again by clustering directions of clean clips."""
    directions = []
    for part in (slice(0, MELS), slice(MELS, None)):
        spread = []
        for clip in sets.test.streams[FRAMES]:
            x = clip[:, part].double().numpy()
            spread.append(np.linalg.svd(x - x.mean(0))[2][0])  # speakers are constant, the factor comes and goes
        vectors = np.array(spread)
        alike = np.abs(vectors @ vectors.T) > 0.99
        directions.append(np.unique(alike, axis=0, return_inverse=True)[1].ravel())
    return directions[0], directions[1]


def test_both_factors_tell_the_emotion_and_neither_alone(plain: Sets) -> None:
    """(a + 2 t) mod 8: given both it is certain, a alone leaves four classes, t alone all eight."""
    acoustic, text = factors(plain)
    labels = plain.test.labels.numpy()
    assert (len(set(acoustic)), len(set(text))) == (8, TEXTS)
    for a in set(acoustic):
        assert len(set(labels[acoustic == a])) == 4
        for t in set(text):
            assert len(set(labels[(acoustic == a) & (text == t)])) <= 1
    for t in set(text):
        assert len(set(labels[text == t])) > 4


def test_votes_are_fifths_and_lean_to_neutral(plain: Sets) -> None:
    votes = plain.train.targets.numpy()
    np.testing.assert_allclose(votes.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(votes * 5, np.round(votes * 5), atol=1e-5)
    share = 0.7 * SHARES[7] + 0.15 + 0.15 / 8
    assert votes.mean(0)[7] == pytest.approx(share, abs=0.03)
    top = votes.max(1, keepdims=True)
    np.testing.assert_array_equal(plain.train.consensus.numpy(), (votes == top).sum(1) == 1)
    assert 0.005 < 1 - plain.train.consensus.float().mean() < 0.3
    assert set(np.unique(plain.test.targets.numpy())) == {0.0, 1.0}


def test_mixtures_sound_as_their_votes_say() -> None:
    """Features and votes in one proportion: the frames are that share of one clean factor and the rest of another."""
    sets = made(noise=0.0, mixtures=1.0)
    targets = sets.test.targets.numpy()
    assert bool(((targets > 0).sum(1) == 2).all())
    np.testing.assert_allclose(np.unique(targets.max(1)), [0.6, 0.8], atol=1e-6)
    whole = made(noise=0.0)
    clean: list[np.ndarray] = []
    for clip in whole.train.streams[FRAMES][:400]:
        x = clip[:, :MELS].double().numpy()
        v = np.linalg.svd(x - x.mean(0))[2][0]
        if not any(abs(v @ c) > 0.99 for c in clean):
            clean.append(v)
    assert len(clean) == 8
    for clip, target in zip(sets.test.streams[FRAMES][:30], targets, strict=False):
        x = clip[:, :MELS].double().numpy()
        v = np.linalg.svd(x - x.mean(0))[2][0]
        weights, rest = np.linalg.lstsq(np.array(clean).T, v, rcond=None)[:2]
        assert rest.size == 0 or rest[0] < 1e-6
        strong = np.sort(np.abs(weights))[::-1]
        assert strong[2:].max() < 1e-3
        if strong[1] > 1e-3:  # else both emotions share the factor; norms of two factors differ by some tenths
            assert strong[0] / strong[1] == pytest.approx(target.max() / (1 - target.max()), rel=0.4)


def test_attributes_follow_the_class_and_keep_to_their_scale(plain: Sets) -> None:
    attributes, labels = plain.test.attributes.numpy(), plain.test.labels.numpy()
    assert 1 <= attributes.min() <= attributes.max() <= 7
    centres = np.array([attributes[labels == c].mean(0) for c in range(8)])
    angle = 2 * np.pi * np.arange(8) / 8
    np.testing.assert_allclose(centres[:, 0], 4 + 2.5 * np.cos(angle), atol=0.3)
    within = np.concatenate([attributes[labels == c] - centres[c] for c in range(8)]).std()
    assert 0.2 < within < 0.35
