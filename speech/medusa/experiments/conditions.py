"""What is measured: every arm of one member, what makes one answer of all members, and the baseline."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from common.claims.harness import Condition
from common.claims.similarity import scores
from speech.medusa import baseline, meta
from speech.medusa.figures import macro_f1, one_hot
from speech.medusa.members import judge
from speech.medusa.study import Round, Study

BEST, SOFT_VOTE, HARD_VOTE = "best member on dev", "soft vote", "hard vote"
META, SINGLE = "linear meta out of fold, soup", "linear meta out of fold, one run"
OWN_ROWS = "linear meta on members' own clips, soup"
BASELINE = "statistics + logistic regression"
MACRO, RARE, APART = "macro_f1", "rare_recall", "soup_from_run"
"""Names of figures: mean F1 of all classes, mean recall of the rarer half of them, and how far the macro-F1 of the soup
lies from the median of its runs'."""
Values = dict[str, float]


def conditions(study: Study) -> Mapping[str, Condition]:
    """By name, as the task wants them."""
    task = study.task
    wanted: dict[str, Callable[[Round], Values]] = {arm: partial(member, arm=arm) for arm in task.arms}
    if task.ensemble:
        wanted |= {BEST: best, SOFT_VOTE: soft_vote, HARD_VOTE: hard_vote}
        wanted |= {META: soup, SINGLE: single, OWN_ROWS: own_rows}
    if task.baseline:
        wanted[BASELINE] = regression
    return {name: partial(_under_seed, study, measure) for name, measure in wanted.items()}


def _under_seed(study: Study, measure: Callable[[Round], Values], seed: int) -> Values:
    return measure(study.round(seed))


def member(of: Round, *, arm: str) -> Values:
    """The first member under an arm."""
    return figures(of, judge(of.network(arm, 0), of.test).logits.argmax(1).numpy())


def best(of: Round) -> Values:
    """The member of the highest macro-F1 on dev, the first of several."""
    labels = of.dev.labels.numpy()
    reached = [macro_f1(judge(one, of.dev).logits.argmax(1).numpy(), labels, len(of.classes)) for one in of.members]
    return figures(of, of.said[int(np.argmax(reached))].logits.argmax(1).numpy())


def soft_vote(of: Round) -> Values:
    return figures(of, of.answers.vote.argmax(1))


def hard_vote(of: Round) -> Values:
    return figures(of, of.answers.hard)


def soup(of: Round) -> Values:
    found, runs = _heard(of, of.metas[0]), [_heard(of, run)[MACRO] for run in of.metas[1:]]
    return found | {APART: abs(found[MACRO] - float(np.median(runs)))}


def single(of: Round) -> Values:
    """The median over the runs, figure by figure."""
    runs = [_heard(of, run) for run in of.metas[1:]]
    return {name: float(np.median([run[name] for run in runs])) for name in runs[0]}


def own_rows(of: Round) -> Values:
    """The rows of the paper."""
    return _heard(of, of.learn_meta(of.own_rows)[0])


def regression(of: Round) -> Values:
    """Fitted, its strength chosen, on the training clips of the ensemble."""
    learnt = of.sets.train.select(of.sets.train.consensus)
    fitted = baseline.fit(of.described(learnt), learnt.labels.numpy(), learnt.speakers, len(of.classes))
    return figures(of, fitted.probabilities(of.described(of.test)).argmax(1))


def figures(of: Round, said: np.ndarray) -> Values:
    """Of the classes that are answered for the test clips, int64 (n,); shares of 1."""
    classes, truth = len(of.classes), of.test.labels.numpy()
    found = scores(one_hot(said, classes), one_hot(truth, classes))
    recall = [float((said[truth == c] == c).mean()) for c in of.rare if (truth == c).any()]
    f1 = {f"f1_{name.lower()}": value for name, value in zip(of.classes, found.label_f1, strict=True)}
    return {MACRO: found.macro_f1, "accuracy": found.micro_f1, RARE: float(np.mean(recall)), **f1}


def _heard(of: Round, classifier: meta.LinearMeta) -> Values:
    return figures(of, of.heard(classifier).argmax(1))
