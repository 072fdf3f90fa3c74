"""Temperature and calibration error against scipy and a plain loop."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax as scipys

from speech.medusa.calibrate import COLDEST, calibration_error, log_softmax, reliability, temperature

RNG = np.random.default_rng(0)
LOGITS = (3 * RNG.normal(size=(400, 5))).astype(np.float32)
LABELS = np.where(RNG.random(400) < 0.6, LOGITS.argmax(1), RNG.integers(5, size=400))
TARGETS = 0.9 * np.eye(5)[LABELS] + 0.02


def test_log_softmax_is_scipys_and_does_not_overflow() -> None:
    np.testing.assert_allclose(log_softmax(LOGITS), scipys(LOGITS.astype(np.float64), 1), atol=1e-12)
    assert np.isfinite(log_softmax(np.array([[1e30, 0.0]], np.float32))).all()


def test_the_temperature_is_the_one_that_scipy_finds() -> None:
    found = minimize_scalar(lambda t: -(TARGETS * scipys(LOGITS.astype(np.float64) / t, 1)).sum(), bounds=(0.05, 20))
    assert temperature(LOGITS, TARGETS) == pytest.approx(found.x, rel=1e-3)  # pyright: ignore[reportAttributeAccessIssue]
    assert temperature(2 * LOGITS, TARGETS) == pytest.approx(2 * temperature(LOGITS, TARGETS), rel=1e-4)


def test_separable_clips_do_not_freeze() -> None:
    assert temperature(np.eye(3) * 5, np.eye(3)) == pytest.approx(COLDEST, rel=1e-3)


def test_the_error_bin_by_bin() -> None:
    p = np.exp(log_softmax(LOGITS))
    confidence, right = p.max(1), p.argmax(1) == LABELS
    expected = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence >= low) & (confidence < low + 1 / 15 + (low > 0.9) * 1e-9)
        if inside.any():
            expected += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert calibration_error(p, LABELS) == pytest.approx(expected)
    bins = reliability(p, LABELS)
    assert sum(n for _, _, n in bins) == 400
    assert calibration_error(p, LABELS) == pytest.approx(sum(n * abs(c - a) for c, a, n in bins) / 400)


def test_whoever_is_sure_and_right_is_calibrated() -> None:
    assert calibration_error(np.eye(4), np.arange(4)) == 0.0
    assert calibration_error(np.eye(4), np.zeros(4, int)) == 0.75


def test_the_temperature_lowers_the_loss() -> None:
    t = temperature(LOGITS, TARGETS)
    before, after = (-(TARGETS * log_softmax(LOGITS / x)).sum(1).mean() for x in (1.0, t))
    assert after < before
