"""Conditions of the claims: whole studies asked of a simulated respondent whose prior, pull and noise are known.

They go through prompts, replies and parser like a paid study, so they test estimators and machinery. They say nothing
about language models.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from common.claims.harness import Condition
from common.claims.similarity import between, similarity
from llm_studies.icl_priors.conditions import DISTRIBUTION, ICL, OWN, PROMPT, supplier
from llm_studies.icl_priors.config import Condition as Asked
from llm_studies.icl_priors.config import Config, Data, Grid
from llm_studies.icl_priors.design import Design
from llm_studies.icl_priors.items import AGGREGATE, Corpus, matrix, one_line
from llm_studies.icl_priors.permutation import group_gap
from llm_studies.icl_priors.pull import estimate
from llm_studies.icl_priors.results import Results
from llm_studies.icl_priors.study import PriorsStudy
from llm_studies.simulate.ask import SimulatedAsk
from llm_studies.simulate.config import Format, Respondent, Size, sized
from llm_studies.simulate.gold import Gold
from llm_studies.simulate.respondent import SimulatedRespondent

STEADY, NOISY = 0.05, 0.30
"""Miss rates of the pair of respondents that differ in nothing else."""
FAITHFUL = Respondent(kappa=0.0, eps1=0.0, eps0=0.0, fidelity=1.0, half_shots=0.0, format=Format())
"""Follows the demonstrations perfectly."""
DIRECT = Respondent(eps1=0.1, eps0=0.02)
"""Whose prior is asked for, and comes with little noise."""


class Scene(NamedTuple):
    """A data set at the size of the claims."""

    corpus: Corpus
    gold: Gold
    """The corpus, as the respondent knows it."""
    shots: int
    items: int
    tests: int
    """Tests of exchanged labels behind a rate of false positives..."""
    respondents: int
    """...and respondents with a neutral prior, each asked a study of its own."""

    @property
    def has_groups(self) -> bool:
        return len(set(self.corpus.groups.values())) == 2


def trials(scene: Scene) -> dict[str, Condition]:
    """Every condition that the data set allows, by name."""
    found: dict[str, Condition] = {
        f"respondent {size}": partial(pulled, scene, sized(size).respondent) for size in SIZES
    }
    found["equal pull, two noises"] = partial(two_noises, scene)
    # Own predictions as labels are noisy; they must still be heard as somebody's, or nothing is pulled.
    heard = replace(FAITHFUL, kappa=1.0, eps1=0.1, eps0=0.01, informed=0.4)
    found["reinforcement, kappa 1"] = partial(reinforced, scene, heard)
    found["reinforcement, kappa 0"] = partial(reinforced, scene, replace(FAITHFUL, fidelity=0.8))
    if scene.has_groups:
        found["aggregation, kappa 0"] = partial(aggregated, scene, FAITHFUL)
        found["aggregation, kappa 1"] = partial(aggregated, scene, replace(FAITHFUL, kappa=1.0))
        found["prior of the control group"] = partial(minority, scene)
        found["neutral prior"] = partial(neutral, scene)
    return found


SIZES: tuple[Size, ...] = ("small", "medium", "large")


def pulled(scene: Scene, respondent: Respondent, seed: int) -> Mapping[str, float]:
    """Strength, consistency and pull of one respondent."""
    found = ask(scene, respondent, seed, "icl", "prior:distribution")
    truth = found.truths[AGGREGATE]
    post, prior = (found.sides(name)[scene.shots].runs for name in (ICL, DISTRIBUTION))
    pull = estimate(truth, np.array(prior), np.array(post), rounds=0).overall
    return {
        "to_truth": between(post, [truth], "micro_f1").mean,
        "to_prior": between(post, prior, "micro_f1").mean,
        "prior_to_truth": between(prior, [truth], "micro_f1").mean,
        "prior_self": np.mean([similarity(a, b, "micro_f1") for i, a in enumerate(prior) for b in prior[:i]]).item(),
        "post_self": np.mean([similarity(a, b, "micro_f1") for i, a in enumerate(post) for b in post[:i]]).item(),
        "kappa": float("nan") if pull.kappa is None else pull.kappa,
        "kappa_naive": float("nan") if pull.kappa_naive is None else pull.kappa_naive,
        "eps1": float("nan") if pull.eps1 is None else pull.eps1,
        "kappa_true": respondent.kappa,
        "eps1_true": respondent.eps1,
    }


def two_noises(scene: Scene, seed: int) -> Mapping[str, float]:
    """Section 8.3: a more consistent prior raises similarity to it at equal pull."""
    base = replace(sized("medium").respondent, format=Format())
    steady, noisy = (pulled(scene, replace(base, eps1=eps1), seed) for eps1 in (STEADY, NOISY))
    return {
        f"{name}_{which}": values[name]
        for name in ("to_prior", "kappa", "eps1")
        for which, values in (("steady", steady), ("noisy", noisy))
    }


def reinforced(scene: Scene, respondent: Respondent, seed: int) -> Mapping[str, float]:
    """Check K: prior prompts to the own prior, the latent prior to the own prior, and ICL to the truth."""
    found = ask(scene, respondent, seed, "icl", "prior-prompt:examples")
    own = {one.run: one.labels for one in found.of(OWN, scene.shots, AGGREGATE)}
    told = {one.run: one.labels for one in found.of(PROMPT, scene.shots, AGGREGATE)}
    mind = SimulatedRespondent(replace(respondent, seed=seed), scene.gold)
    texts = [one_line(item.text) for item in found.design.queries]  # as the prompt shows them
    latent = np.array([[mind.prior(text, label) for label in scene.corpus.labels] for text in texts])
    pairs = [(labels, own[supplier(run)]) for run, labels in told.items()]
    post = found.sides(ICL)[scene.shots].runs
    return {
        "to_own_prior": float(np.mean([similarity(a, b, "micro_f1") for a, b in pairs])),
        "latent_to_own_prior": float(np.mean([similarity(latent, b, "micro_f1") for _, b in pairs])),
        "icl_to_truth": between(post, [found.truths[AGGREGATE]], "micro_f1").mean,
    }


def aggregated(scene: Scene, respondent: Respondent, seed: int) -> Mapping[str, float]:
    """Check J: each annotator's truth, under prompts with the own labels and with the aggregate's."""
    found = ask(scene, respondent, seed, "icl", annotators=(AGGREGATE, *scene.corpus.annotators))
    whole = [one.labels for one in found.of(ICL, scene.shots, AGGREGATE)]
    own, other = [], []
    for name in scene.corpus.annotators:
        truth = [found.truths[name]]
        own.append(between([one.labels for one in found.of(ICL, scene.shots, name)], truth, "micro_f1").mean)
        other.append(between(whole, truth, "micro_f1").mean)
    return {"annotator_prompts": float(np.mean(own)), "aggregate_prompts": float(np.mean(other))}


def minority(scene: Scene, seed: int) -> Mapping[str, float]:
    """Check H: a prior that equals one group's labels is found nearer to it; and how often the test errs.

    For the rate the groups' labels are exchanged text by text at random: the prior knows both groups alike.
    """
    mind = replace(DIRECT, prior_of=_members(scene.corpus)[1], prior_miss=0.1, prior_false=0.02)
    priors, left, right = sides(scene, mind, seed)
    gap = group_gap(priors, left, right, rounds=1_000, seed=seed)[1]
    rng = np.random.default_rng(seed)
    wrong = 0
    for _ in range(scene.tests):
        swap = rng.random(left.shape[1])[None, :, None] < 0.5
        wrong += flagged(priors, np.where(swap, right, left), np.where(swap, left, right), int(rng.integers(2**31)))
    return {
        "to_first_group": gap.left,
        "to_second_group": gap.right,
        "p": gap.p_value,
        "false_positives": wrong / scene.tests,
    }


def neutral(scene: Scene, seed: int) -> Mapping[str, float]:
    """Check H, its null: the labels stay as they are, and every respondent's prior is independent of both groups.

    P(z=1) is the share of labels that the annotators give, whatever they say of the text. The groups' own rates differ.
    """
    given = [matrix(scene.corpus.items, name).mean() for names in _members(scene.corpus) for name in names]
    rate = float(np.mean(given))
    mind = replace(DIRECT, prior_miss=1 - rate, prior_false=rate)
    seeds = range(seed * scene.respondents, (seed + 1) * scene.respondents)
    wrong = [flagged(*sides(scene, mind, one), one) for one in seeds]
    return {"false_positives": float(np.mean(wrong))}


def sides(scene: Scene, mind: Respondent, seed: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """A respondent's priors, and what the two groups say of the same texts, (annotators, items, labels) each."""
    found = ask(scene, mind, seed, "prior:distribution")
    priors = found.sides(DISTRIBUTION)[scene.shots].runs
    groups = [np.array([matrix(found.design.queries, name) for name in names]) for names in _members(scene.corpus)]
    return list(priors), groups[0], groups[1]


def flagged(priors: Sequence[np.ndarray], left: np.ndarray, right: np.ndarray, seed: int) -> bool:
    """Micro-F1, p <= 0.05. With 200 draws, p = 2 (b + 1) / 201 is at most 0.05 with probability 10 / 201 = 4.98 %
    under the null of one of its two tests, and more rarely where the other one must agree."""
    return group_gap(priors, left, right, rounds=200, seed=seed)[1].p_value <= 0.05


def ask(
    scene: Scene, respondent: Respondent, seed: int, *asked: Asked, annotators: tuple[str, ...] = (AGGREGATE,)
) -> Results:
    """The respondent's predictions, through prompts, replies and parser. The seed is that of its latent prior and luck,
    and of the demonstrations."""
    config = Config(
        data=Data(annotators=annotators, items=scene.items),
        grid=Grid(conditions=asked, shots=(scene.shots,), seeds=(3 * seed, 3 * seed + 1, 3 * seed + 2)),
    )
    mind = SimulatedRespondent(replace(respondent, seed=seed), scene.gold)
    study = PriorsStudy(config, Design(config, scene.corpus))
    return asyncio.run(study.results(SimulatedAsk(mind)))


def _members(corpus: Corpus) -> list[tuple[str, ...]]:
    """By group, in the order of the annotators; the first is the minority in both data sets that have groups."""
    names = dict.fromkeys(corpus.groups.values())
    return [tuple(name for name, group in corpus.groups.items() if group == one) for one in names]
