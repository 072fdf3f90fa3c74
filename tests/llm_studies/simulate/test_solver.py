"""The solver against its own parameters, and against the closed forms that follow from them."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from llm_studies.bloomwise import generated, prompts
from llm_studies.bloomwise.config import Config, Items
from llm_studies.simulate import problems
from llm_studies.simulate.config import Solver
from llm_studies.simulate.mind import Mind
from llm_studies.simulate.solver import SimulatedSolver

N = 3000
TABLE = {f"Problem number {n} asks what?": str(7 * n) for n in range(N)}
LEVELS = ("remembering", "understanding", "applying", "analyzing")
P = (0.4, 0.5, 0.6, 0.7)

Made = Callable[..., str]


def answers(mind: Mind, problem: Made, ask: Callable[..., object], level: str, draw: str = "") -> list[str | None]:
    """The value after ANSWER: for every problem; None where there is none."""
    replies = [mind(ask(problem(text, level), draw)) for text in TABLE]  # type: ignore[arg-type]
    return [reply.partition("ANSWER: ")[2] or None for reply in replies]


def right(given: Sequence[str | None]) -> np.ndarray:
    return np.array([value == gold for value, gold in zip(given, TABLE.values(), strict=True)])


def error(p: float) -> float:
    """Three standard errors of a share over the problems."""
    return 3 * float(np.sqrt(p * (1 - p) / N))


@pytest.fixture
def levels() -> Solver:
    return Solver(levels=dict(zip(LEVELS, P, strict=True)), pool=3, none=0.05)


def test_each_level_has_its_accuracy_and_share_without_an_answer(levels, problem, ask):
    mind = SimulatedSolver(levels, TABLE)
    for level, p in zip(LEVELS, P, strict=True):
        given = answers(mind, problem, ask, level)
        assert abs(right(given).mean() - 0.95 * p) < error(p)
        assert abs(np.mean([value is None for value in given]) - 0.05) < error(0.05)


def test_wrong_answers_come_from_a_pool(levels, problem, ask):
    given = answers(SimulatedSolver(levels, TABLE), problem, ask, "remembering")
    off = [int(value) - int(gold) for value, gold in zip(given, TABLE.values(), strict=True) if value and value != gold]
    shares = np.bincount(off, minlength=4) / len(off)
    assert set(off) == {1, 2, 3}
    assert np.allclose(shares[1:], 1 / 3, atol=0.05)


def test_converge_has_the_accuracy_and_calls_of_the_closed_form(levels, problem, ask):
    mind = SimulatedSolver(levels, TABLE)
    ladder = list(zip(*(answers(mind, problem, ask, level) for level in LEVELS), strict=True))
    runs = [converge(row) for row in ladder]
    accuracy, calls = closed_form(P, pool=3, none=0.05)
    assert abs(right([answer for answer, _ in runs]).mean() - accuracy) < error(accuracy)
    spent = np.array([count for _, count in runs])
    assert abs(spent.mean() - calls) < 3 * spent.std() / np.sqrt(N)


def test_with_full_correlation_the_second_level_repeats_the_first(problem, ask):
    mind = SimulatedSolver(Solver(default=0.6, rho=1.0), TABLE)
    ladder = list(zip(*(answers(mind, problem, ask, level) for level in LEVELS), strict=True))
    assert {count for _, count in map(converge, ladder)} == {2}
    assert abs(right([row[0] for row in ladder]).mean() - 0.6) < error(0.6)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8])
def test_errors_correlate_by_rho(problem, ask, rho):
    mind = SimulatedSolver(Solver(default=0.5, rho=rho), TABLE)
    one, other = (right(answers(mind, problem, ask, level)) for level in LEVELS[:2])
    assert abs(np.corrcoef(one, other)[0, 1] - rho) < 3 / np.sqrt(N)


def test_other_draws_are_other_attempts_and_the_greedy_one_is_fixed(problem, ask):
    mind = SimulatedSolver(Solver(default=0.5), TABLE)
    greedy, first, second = (answers(mind, problem, ask, "applying", draw) for draw in ("", "1/0", "2/0"))
    assert greedy == answers(mind, problem, ask, "applying")
    agree = np.mean([a == b for a, b in zip(first, second, strict=True)])
    # Both right, or the same one of five wrong answers.
    assert abs(agree - (0.25 + 0.25 / 5)) < error(0.3)


def test_verdicts_have_their_sensitivity_and_specificity(problem, ask):
    mind = SimulatedSolver(Solver(sensitivity=0.8, specificity=0.6), TABLE)
    for moved, expected in ((0, 0.8), (1, 0.4)):
        asked = [
            problem(
                text, more=f"<solution>So it is so.\nANSWER: {int(gold) + moved}</solution> VERDICT: ACCEPT or CONTINUE"
            )
            for text, gold in TABLE.items()
        ]
        accepted = [mind(ask(one)).endswith("VERDICT: ACCEPT") for one in asked]
        assert abs(np.mean(accepted) - expected) < error(expected)


def test_programmes_assign_the_answer(problem, ask):
    mind = SimulatedSolver(Solver(default=1.0), {"How many?": "1,250.5", "Which?": "1/3"})
    assert namespace(mind(ask(problem("How many?", "applying", programme=True))))["answer"] == 1250.5
    assert namespace(mind(ask(problem("Which?", programme=True))))["answer"] == pytest.approx(1 / 3)
    nothing = SimulatedSolver(Solver(none=1.0), {})(ask(problem("How many?", programme=True)))
    with pytest.raises(IndexError):
        namespace(nothing)


def test_options_are_answered_with_a_letter(problem, ask):
    shown = "How many?\nA) 3\nB) 4\nC) 5"
    right_one = SimulatedSolver(Solver(default=1.0), {"How many?": "4"})
    assert right_one(ask(problem(shown, "applying"))).endswith("ANSWER: B")
    assert SimulatedSolver(Solver(default=1.0), {"How many?": "C"})(ask(problem(shown))).endswith("ANSWER: C")
    wrong = {SimulatedSolver(Solver(default=0.0, seed=n), {"How many?": "4"})(ask(problem(shown))) for n in range(20)}
    assert {reply[-1] for reply in wrong} == {"A", "C"}


def test_asked_for_the_result_of_a_reasoning_it_reads_the_reasoning(ask, problem):
    mind = SimulatedSolver(Solver(default=1.0), {"How many?": "4"})
    more = "State the result. <solution>\nThree and two. The answer is 5\n</solution>"
    assert mind(ask(problem("How many?", more=more))).endswith("ANSWER: 5")


def test_cues_set_the_accuracy_of_prompts_without_a_level(problem, ask):
    mind = SimulatedSolver(Solver(default=0.0, cues={"step by step": 1.0}), {"How many?": "4"})
    assert mind(ask(problem("How many?", more="Think step by step."))).endswith("ANSWER: 4")
    assert not mind(ask(problem("How many?", more="Answer at once."))).endswith("ANSWER: 4")


def test_every_problem_of_a_study_is_known_under_the_study_s_words(ask):
    study = Config(data=(Items(items=40, options=0.5, seed=3),))
    mind = SimulatedSolver(Solver(default=1.0), problems.of_study(study, None))
    wording = prompts.load()
    for one in generated.problems(40, options=0.5, seed=3):
        block = prompts.problem_block(one.question, one.options)
        asked = prompts.fill(wording.frame.task, instruction=wording.baselines.cot, problem=block)
        reply = mind(ask(f"{asked}\nANSWER: <value>"))
        assert reply.endswith(f"ANSWER: {one.gold}"), one


def converge(answers: Sequence[str | None]) -> tuple[str | None, int]:
    """The answer and the calls of the rule, fallback last."""
    for k in range(1, len(answers)):
        if answers[k] is not None and answers[k] == answers[k - 1]:
            return answers[k - 1], k + 1
    return answers[-1], len(answers)


def closed_form(p: Sequence[float], *, pool: int, none: float) -> tuple[float, float]:
    """Accuracy and mean calls of converge under independent errors.

    A level is right with (1 - none) p, says each wrong answer with (1 - none)(1 - p) / pool, and nothing with none.
    Going up, what matters is the probability of not having stopped with each of those said last.
    """
    says = [np.array([q * (1 - none), *[(1 - q) * (1 - none) / pool] * pool, none]) for q in p]
    going, accuracy, calls = says[0], 0.0, 0.0
    for k, now in enumerate(says[1:], 2):
        stops = going[:-1] * now[:-1]
        accuracy += stops[0]
        calls += k * stops.sum()
        going = going.sum() * now - np.append(stops, 0.0)
    return accuracy + going[0], calls + len(p) * going.sum()


def namespace(reply: str) -> dict[str, float]:
    """What the one programme in a reply leaves behind."""
    code = reply.partition("```python\n")[2].partition("\n```")[0]
    left: dict[str, float] = {}
    exec(code, {}, left)
    return left
