"""The respondent against its own parameters: what goes in as kappa, eps and manners is found in its answers."""

from collections.abc import Sequence
from itertools import product

import msgspec
import numpy as np
import pytest

from llm_studies.simulate.config import Format, Respondent, sized
from llm_studies.simulate.gold import Gold, gold
from llm_studies.simulate.icl_prompt import Demo, Task
from llm_studies.simulate.respondent import SimulatedRespondent

LABELS = ("joy", "fear", "anger", "sadness", "surprise")
RNG = np.random.default_rng(5)
TEXTS = tuple(f"item number {n}" for n in range(500))
QUERIES, POOL = TEXTS[:300], TEXTS[300:]


def table(rate: float, rng: np.random.Generator) -> np.ndarray:
    return rng.random((len(TEXTS), len(LABELS))) < rate


AGGREGATE = table(0.3, RNG)
CONTRARY = np.where(RNG.random(AGGREGATE.shape) < 0.25, ~AGGREGATE, AGGREGATE)
"""An annotator who differs from the aggregate in a quarter of the cells."""


def names(row: Sequence[bool]) -> list[str]:
    return [label for label, on in zip(LABELS, row, strict=True) if on]


@pytest.fixture(scope="module")
def known() -> Gold:
    rows = [(text, None, names(row)) for text, row in zip(TEXTS, AGGREGATE, strict=True)]
    return gold([*rows, *((text, "contrary", names(row)) for text, row in zip(TEXTS, CONTRARY, strict=True))])


def demos(labels: np.ndarray, start: int, shots: int = 25) -> tuple[Demo, ...]:
    """Demonstrations from the pool: texts in order, labels as given."""
    return tuple(
        Demo(text, frozenset(names(row)))
        for text, row in zip(POOL[start : start + shots], labels[start : start + shots], strict=True)
    )


def answers(mind: SimulatedRespondent, shown: tuple[Demo, ...], draw: str = "") -> np.ndarray:
    """bool (queries, labels)."""
    tasks = [Task(LABELS, shown, query, "Emotion(s)", False) for query in QUERIES]
    return np.array([[label in mind.answer(task, draw) for label in LABELS] for task in tasks])


def prior(mind: SimulatedRespondent, texts: Sequence[str] = QUERIES) -> np.ndarray:
    return np.array([[mind.prior(text, label) for label in LABELS] for text in texts])


def close(found: float, expected: float, n: int) -> bool:
    """Within 4 standard errors of a share over n cells."""
    return abs(found - expected) < 4 * max(np.sqrt(expected * (1 - expected) / n), 0.5 / n)


@pytest.mark.parametrize(("kappa", "eps1"), [*product([0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 0.1, 0.25])])
def test_pull_and_noise_are_in_the_answers(known, kappa, eps1):
    mind = SimulatedRespondent(Respondent(kappa=kappa, eps1=eps1, eps0=0.05), known)
    z, truth = prior(mind), AGGREGATE[:300]
    posterior = answers(mind, demos(AGGREGATE[300:], 0))
    apart = z != truth
    assert close((posterior == z)[apart].mean(), kappa, int(apart.sum()))
    assert (posterior == truth)[~apart].all()
    proxy = answers(mind, demos(table(0.3, np.random.default_rng(1))[300:], 50))
    assert close((~proxy)[z].mean(), eps1, int(z.sum()))
    assert close(proxy[~z].mean(), 0.05, int((~z).sum()))


def test_the_latent_prior_is_a_noisy_copy_of_the_truth(known):
    mind = SimulatedRespondent(Respondent(prior_miss=0.4, prior_false=0.1), known)
    z, truth = prior(mind), AGGREGATE[:300]
    assert close((~z)[truth].mean(), 0.4, int(truth.sum()))
    assert close(z[~truth].mean(), 0.1, int((~truth).sum()))


def test_inconsistency_is_anew_for_every_set_of_demonstrations(known):
    mind = SimulatedRespondent(Respondent(eps1=0.25, eps0=0.25), known)
    random = table(0.3, np.random.default_rng(1))[300:]
    one, other = answers(mind, demos(random, 0)), answers(mind, demos(random, 50))
    # Two noisy copies of one bit agree with probability (1 - eps)^2 + eps^2.
    assert close((one == other).mean(), 0.75**2 + 0.25**2, one.size)
    assert (one == answers(mind, demos(random, 0))).all()
    assert not (one == answers(mind, demos(random, 0), "1/0")).all()


def test_zero_shot_is_a_prior_proxy(known):
    mind = SimulatedRespondent(Respondent(kappa=0.0, eps1=0.0, eps0=0.0), known)
    assert (answers(mind, ()) == prior(mind)).all()


def test_the_demonstrations_tell_whose_labels_are_followed(known):
    mind = SimulatedRespondent(Respondent(kappa=0.0), known)
    assert (answers(mind, demos(AGGREGATE[300:], 0)) == AGGREGATE[:300]).all()
    assert (answers(mind, demos(CONTRARY[300:], 0)) == CONTRARY[:300]).all()


def test_a_prior_prompt_is_followed_as_informative(known):
    mind = SimulatedRespondent(Respondent(kappa=0.0, eps1=0.4, eps0=0.4), known)
    own = prior(mind, POOL)
    assert (answers(mind, demos(own, 0)) == prior(mind)).all()


def test_with_full_pull_annotators_do_not_matter(known):
    mind = SimulatedRespondent(Respondent(kappa=1.0), known)
    assert (answers(mind, demos(AGGREGATE[300:], 0)) == answers(mind, demos(CONTRARY[300:], 0))).all()


def test_the_prior_can_be_one_annotators(known):
    mind = SimulatedRespondent(Respondent(prior_of=("contrary",), prior_miss=0.0, prior_false=0.0), known)
    assert (prior(mind) == CONTRARY[:300]).all()


def test_fidelity_grows_with_shots_and_leaves_kappa_alone(known):
    few, many = 5, 100
    mind = SimulatedRespondent(Respondent(kappa=0.4, fidelity=0.9, half_shots=5.0), known)
    z, truth = prior(mind), AGGREGATE[:300]
    agreement = []
    for shots in (few, many):
        posterior = answers(mind, demos(AGGREGATE[300:], 0, shots))
        agreement.append((posterior == truth).mean())
        # kappa = P(post=1 | z=1, t) - P(post=1 | z=0, t), whatever the rest does.
        effects = [posterior[z & (truth == t)].mean() - posterior[~z & (truth == t)].mean() for t in (True, False)]
        assert np.mean(effects) == pytest.approx(0.4, abs=0.12)
    assert agreement[0] < agreement[1] - 0.05


def test_unseen_texts_are_read_with_the_lexicon_and_the_annotators_habit(icl, ask):
    plain = Respondent(kappa=0.0, prior_miss=0.0, prior_false=0.0)
    shown = [
        ("so happy now", ["joy"]),
        ("I am afraid", ["fear"]),
        ("they were furious", ["anger"]),
        ("it rains", []),
    ] * 3
    mind = SimulatedRespondent(plain)
    assert mind(ask(icl(shown, "happy, but afraid too"))) == "joy, fear"
    never = [(text, [label for label in labels if label != "fear"]) for text, labels in shown]
    assert mind(ask(icl(never, "happy, but afraid too"))) == "joy"


def test_it_is_a_function_of_seed_and_prompt(icl, ask, known):
    prompt = ask(icl([(POOL[0], ["joy"])], "cheerful and scared and furious and gloomy"))
    texts = {SimulatedRespondent(Respondent(seed=seed), known)(prompt) for seed in range(40)}
    assert len(texts) > 5
    assert all(SimulatedRespondent(Respondent(seed=3), known)(prompt) in texts for _ in range(3))


MANNERS = {
    "alias": "Happy",
    "sentence": "The text shows joy.",
    "extra_demos": "joy\n\nInput: a text that nobody sent\nEmotion(s): joy",
    "json": '{"label":["joy"]}',
    "broken_json": '{"label":["joy"',
    "refusal": "I'm sorry, but I can't help with that.",
}


@pytest.mark.parametrize(("form", "reply"), MANNERS.items())
def test_each_manner_has_its_words(icl, ask, form, reply):
    config = Respondent(eps1=0.0, eps0=0.0, prior_miss=0.0, prior_false=0.0, format=Format(**{form: 1.0}))
    assert SimulatedRespondent(config)(ask(icl([], "a happy day"))) == reply


def test_a_long_reply_names_its_labels_after_a_hundred_words(icl, ask):
    reply = SimulatedRespondent(Respondent(format=Format(long=1.0)))(ask(icl([], "a happy day")))
    assert len(reply.rpartition("Emotion(s):")[0].split()) > 100


def test_manners_come_at_their_rates(icl, ask):
    config = Respondent(format=Format(refusal=0.2, json=0.1))
    mind = SimulatedRespondent(config)
    replies = [mind(ask(icl([], f"text {n}"))) for n in range(1000)]
    assert close(np.mean([reply.startswith("I'm sorry") for reply in replies]), 0.2, 1000)
    assert close(np.mean([reply.startswith("{") for reply in replies]), 0.1, 1000)


def test_reasoning_comes_before_the_labels(icl, ask):
    config = Respondent(eps1=0.0, eps0=0.0, prior_miss=0.0, prior_false=0.0)
    reply = SimulatedRespondent(config)(ask(icl([], "a happy day", cot=True)))
    assert reply.split("\n")[1] == "Emotion(s): joy"


def test_shares_of_manners_above_1_are_refused():
    with pytest.raises(msgspec.ValidationError, match="more than 1"):
        msgspec.convert({"refusal": 0.6, "json": 0.6}, Format)


def test_sizes_pull_more_and_waver_less():
    small, medium, large = (sized(size).respondent for size in ("small", "medium", "large"))
    assert small.kappa < medium.kappa < large.kappa
    assert small.eps1 > medium.eps1 > large.eps1
    assert small.eps0 > medium.eps0 > large.eps0
