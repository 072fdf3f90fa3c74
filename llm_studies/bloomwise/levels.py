"""The inside of a ladder: what other rules would have made of the same replies, and what each level is worth."""

from collections.abc import Iterator, Sequence

import numpy as np

from common.claims.statistics import wilson_interval
from contracts.studies import Cell, Table
from llm_studies.bloomwise.attempt import Attempt
from llm_studies.bloomwise.extract import same
from llm_studies.bloomwise.ladder import Ladder
from llm_studies.bloomwise.measured import Measured
from llm_studies.bloomwise.rules import Outcome, converge, majority, oracle, self_eval

Answers = Sequence[str | None]


def level_tables(label: str, name: str, ladder: Ladder, one: Measured) -> Iterator[Table]:
    """Of one ladder on one set."""
    runs = one.ladders[name]
    golds = [problem.gold for problem in one.problems]
    suffix = f"{name}-{label}"
    yield Table(
        name=f"rules-{suffix}",
        title=f"Ladder {name} on {label}: rules, replayed",
        columns=("rule", "accuracy, %", "low", "high", "ended by rule, %", "right among these, %", "levels asked"),
        rows=tuple(rules(runs, golds, independent=ladder.context == "independent")),
        note=(
            "Calls for verdicts are not counted here. The oracle knows the gold answer and is for analysis only. "
            "Other orders and left-out levels are replayed only where levels do not see one another."
        ),
    )
    yield Table(
        name=f"levels-{suffix}",
        title=f"Ladder {name} on {label}: each level alone",
        columns=(
            "level",
            "accuracy, %",
            "low",
            "high",
            "strict, %",
            "no answer, %",
            "cut off, %",
            "mapped, %",
            "tokens",
        ),
        rows=tuple(_level([run[k] for run in runs], golds) for k in range(len(runs[0]))),
    )
    yield Table(
        name=f"gain-{suffix}",
        title=f"Ladder {name} on {label}: from level to level",
        columns=("from", "to", "wrong before", "of these right after, %", "right before", "of these wrong after, %"),
        rows=tuple(_gains(runs, golds)),
    )
    if any(attempt.verdict for run in runs for attempt in run):
        yield Table(
            name=f"verdicts-{suffix}",
            title=f"Ladder {name} on {label}: the model's verdict as a classifier of its own answers",
            columns=("level", "n", "accepted, %", "precision", "recall", "AUC", "unclear, %"),
            rows=tuple(_verdicts(runs, golds)),
            note="AUC of a yes-or-no verdict is the mean of sensitivity and specificity. Unclear counts as CONTINUE.",
        )


def rules(runs: Sequence[Sequence[Attempt]], golds: Sequence[str], *, independent: bool) -> Iterator[tuple[Cell, ...]]:
    """One row for each rule; attempts by problem and level."""
    answers = [[attempt.answer for attempt in run] for run in runs]
    names, height = [attempt.name for attempt in runs[0]], len(runs[0])
    for agree in range(2, min(height, 3) + 1):
        for fallback in ("last", "majority"):
            done = [converge(one, agree, fallback) for one in answers]
            yield _rule(f"converge({agree}), fallback {fallback}", answers, done, golds)
    if all(run[0].verdict for run in runs):
        done = [self_eval(one, [a.verdict for a in run]) for one, run in zip(answers, runs, strict=True)]
        yield _rule("self_eval, fallback last", answers, done, golds)
    yield _rule("majority", answers, [Outcome(majority(one), height, ended=False) for one in answers], golds)
    seen = [oracle(one, gold) for one, gold in zip(answers, golds, strict=True)]
    yield _row("oracle-stop", np.array([hind.correct for hind in seen]), None, [hind.asked for hind in seen])
    for length in range(2, height):
        yield _converged(f"converge(2), first {length} levels", [one[:length] for one in answers], golds)
    if independent and height > 2:
        yield _converged("converge(2), reversed", [one[::-1] for one in answers], golds)
        for k, name in enumerate(names):
            yield _converged(f"converge(2), without {name}", [[*one[:k], *one[k + 1 :]] for one in answers], golds)


def _converged(title: str, answers: Sequence[Answers], golds: Sequence[str]) -> tuple[Cell, ...]:
    return _rule(title, answers, [converge(one) for one in answers], golds)


def _rule(title: str, answers: Sequence[Answers], done: Sequence[Outcome], golds: Sequence[str]) -> tuple[Cell, ...]:
    solved = [same(one[o.level], gold) for one, o, gold in zip(answers, done, golds, strict=True)]
    return _row(title, np.array(solved), np.array([o.ended for o in done]), [o.asked for o in done])


def _row(title: str, solved: np.ndarray, ended: np.ndarray | None, asked: Sequence[int]) -> tuple[Cell, ...]:
    among = None if ended is None or not ended.any() else 100 * float(solved[ended].mean())
    share = None if ended is None else 100 * float(ended.mean())
    return (title, *_accuracy(int(solved.sum()), len(solved)), share, among, sum(asked) / len(asked))


def _accuracy(solved: int, n: int) -> tuple[float, float, float]:
    interval = wilson_interval(solved, n)
    return 100 * solved / n, 100 * interval.low, 100 * interval.high


def _level(attempts: Sequence[Attempt], golds: Sequence[str]) -> tuple[Cell, ...]:
    n = len(attempts)
    pairs = list(zip(attempts, golds, strict=True))
    return (
        attempts[0].name,
        *_accuracy(sum(same(attempt.answer, gold) for attempt, gold in pairs), n),
        100 * sum(same(attempt.strict, gold) for attempt, gold in pairs) / n,
        100 * sum(attempt.answer is None for attempt in attempts) / n,
        100 * sum(attempt.truncated for attempt in attempts) / n,
        100 * sum(attempt.mapped for attempt in attempts) / n,
        sum(spent.prompt_tokens + spent.completion_tokens for spent in (one.unjudged().usage for one in attempts)) / n,
    )


def _gains(runs: Sequence[Sequence[Attempt]], golds: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
    solved = np.array([[same(one.answer, gold) for one in run] for run, gold in zip(runs, golds, strict=True)])
    for k in range(solved.shape[1] - 1):
        before, after = solved[:, k], solved[:, k + 1]
        wrong, right = int((~before).sum()), int(before.sum())
        gain = 100 * float(after[~before].mean()) if wrong else None
        harm = 100 * float((~after[before]).mean()) if right else None
        yield (runs[0][k].name, runs[0][k + 1].name, wrong, gain, right, harm)


def _verdicts(runs: Sequence[Sequence[Attempt]], golds: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
    names = [attempt.name for attempt in runs[0]]
    pairs = [(attempt, same(attempt.answer, gold)) for run, gold in zip(runs, golds, strict=True) for attempt in run]
    for name in (*names, "all levels"):
        here = [(one, right) for one, right in pairs if name in (one.name, "all levels")]
        accepted = np.array([one.verdict == "accept" for one, _ in here])
        right = np.array([right for _, right in here])
        unclear = 100 * sum(one.unparsed for one, _ in here) / len(here)
        precision = _share(right[accepted])
        recall, refused = _share(accepted[right]), _share(~accepted[~right])
        area = None if recall is None or refused is None else (recall + refused) / 2
        yield (name, len(here), 100 * float(accepted.mean()), precision, recall, area, unclear)


def _share(cells: np.ndarray) -> float | None:
    return float(cells.mean()) if len(cells) else None
