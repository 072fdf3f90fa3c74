"""Lines of ``predictions.jsonl``: every level of every ladder, every method, and the repeat control."""

from collections.abc import Iterator

from contracts.studies import AnswerPrediction
from llm_studies.bloomwise.attempt import Attempt
from llm_studies.bloomwise.baselines import Trial
from llm_studies.bloomwise.data import Problem
from llm_studies.bloomwise.extract import same
from llm_studies.bloomwise.measured import Measured
from llm_studies.bloomwise.repeats import REPEAT


def predictions(dataset: str, measured: Measured) -> Iterator[AnswerPrediction]:
    """Of one set, method by method and problem by problem; a ladder's levels before what its rule puts out."""
    for method, trials in measured.trials.items():
        for i, (problem, done) in enumerate(zip(measured.problems, trials, strict=True)):
            for level in measured.ladders[method][i] if method in measured.ladders else ():
                yield _row(dataset, problem, method, _alone(level), level.name)
            yield _row(dataset, problem, method, done)
    for problem, pair in zip(measured.problems[: len(measured.repeats)], measured.repeats, strict=True):
        for repeat, attempt in enumerate((pair.once, pair.again)):
            yield _row(dataset, problem, REPEAT, _alone(attempt), attempt.name, repeat)


def _alone(attempt: Attempt) -> Trial:
    return Trial(attempt.strict, attempt.answer, (attempt,))


def _row(
    dataset: str, problem: Problem, method: str, done: Trial, level: str | None = None, repeat: int = 0
) -> AnswerPrediction:
    return AnswerPrediction(
        problem=problem.id,
        dataset=dataset,
        method=method,
        level=level,
        repeat=repeat,
        strict=done.strict,
        answer=done.answer,
        right=same(done.answer, problem.gold),
        finish="length" if any(attempt.truncated for attempt in done.attempts) else done.attempts[-1].finish,
        usage=done.usage,
    )
