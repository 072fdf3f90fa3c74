"""The figures of a multi-label classifier, and the rival that counts words."""

import numpy as np
from sklearn.metrics import f1_score, jaccard_score

from common.text.figures import measured
from common.text.words import bag_of_words


def test_figures_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random((30, 4)) < 0.4
    said = truth ^ (rng.random(truth.shape) < 0.3)
    found = {m.name: m for m in measured("some_", "dev", said, truth)}
    assert {(m.split, m.n) for m in found.values()} == {("dev", 30)}
    np.testing.assert_allclose(found["some_micro_f1"].value, f1_score(truth, said, average="micro"))
    np.testing.assert_allclose(found["some_macro_f1"].value, f1_score(truth, said, average="macro"))
    js = [jaccard_score(a, b, zero_division=1.0) for a, b in zip(truth, said, strict=True)]  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(found["some_js"].value, np.mean(js))


def test_intervals_hold_the_value_and_shrink_with_items() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((400, 3)) < 0.4
    said = truth ^ (rng.random(truth.shape) < 0.2)
    width = {}
    for n in (40, 400):
        micro = next(m for m in measured("", "test", said[:n], truth[:n]) if m.name == "micro_f1")
        assert micro.interval is not None
        width[n] = micro.interval.high - micro.interval.low
    assert width[400] < 0.6 * width[40]


def test_bag_of_words_learns_what_a_word_says() -> None:
    texts = [f"{word} day number {i}" for i in range(30) for word in ("sunny", "rainy")]
    truth = np.array([[text.startswith("sunny"), True, False] for text in texts])
    (p,) = bag_of_words(texts, truth, ["one sunny day", "one rainy day"])
    assert p[0, 0] > 0.8 > 0.2 > p[1, 0]
    np.testing.assert_array_equal(p[:, 1:], [[1.0, 0.0]] * 2)  # nothing to tell apart
