"""The claims of arXiv 2506.09556, as differences between paired runs of small members, and what they are worth against
a baseline.

Verdicts come from ``common.claims.harness``; nothing here decides one.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from rich.console import Console

from common.claims.harness import judge, run_paired
from common.claims.report import report
from common.errors import OperatorError
from common.training.threads import one_thread
from contracts.claims import ClaimRow, ClaimsReport
from speech.medusa.config import Synthetic
from speech.medusa.espeak import PROGRAM, version
from speech.medusa.experiments.conditions import conditions
from speech.medusa.experiments.figures import drawings
from speech.medusa.experiments.learning import Updates
from speech.medusa.experiments.statements import statements
from speech.medusa.experiments.tasks import Task, made, recorded, spoken
from speech.medusa.study import Study
from speech.medusa.system import SYSTEM


class Plan(NamedTuple):
    """A run of the command."""

    seeds: int
    tasks: tuple[Task, ...]
    left_out: str = ""
    """What the report says of sets that are not in it."""


EASY = Synthetic(train=1_200, dev=160, test=400, speakers=12, noise=0.1, neutral=0.06)
"""So that a few updates already teach something."""
USUAL = Synthetic(dev=160, speakers=12)
QUICK = Plan(
    3,
    made(Updates(45, 35), EASY, members=3, folds=2),
    "Networks are far from converged after so few updates. Made speech is left to the run without --quick.",
)
FULL = Plan(
    5,
    (
        *made(Updates(200, 80), USUAL, members=4, folds=3),
        spoken(Updates(400, 150), members=3, folds=3),
    ),
)
QUICK_RECORDED = Plan(
    3,
    (recorded("emodb", Updates(160, 60), members=3, folds=3),),
    "RAVDESS and nEMO are left to the run without --quick.",
)
FULL_RECORDED = Plan(
    5,
    (
        recorded("emodb", Updates(300, 100), members=3, folds=3),
        recorded("ravdess", Updates(250, 100), members=3, folds=3),
        recorded("nemo", Updates(250, 100), members=3, folds=3),
    ),
)


def claims(*, quick: bool, data: Path | None, seeds: int | None, out: Path | None, command: str) -> ClaimsReport:
    """Re-test on made clips and (unless ``quick``) made speech or, with ``data``, on EmoDB and (unless ``quick``)
    RAVDESS and nEMO.

    Writes ``RESULTS.md`` and its figures into ``out`` when given. Features are kept in a temporary folder. Raises
    OperatorError for fewer than two seeds, and when ``data`` lacks a set.
    """
    started = time.perf_counter()
    plan = (QUICK if quick else FULL) if data is None else (QUICK_RECORDED if quick else FULL_RECORDED)
    plan = plan._replace(seeds=plan.seeds if seeds is None else seeds)
    if plan.seeds < 2:
        raise OperatorError("one seed has no interval; give --seeds 2 or more")
    plan = possible(plan)
    with one_thread(), TemporaryDirectory(prefix="kithara-claims-") as folder:
        rows = tuple(
            row for task in plan.tasks for row in measure(Study(task, plan.seeds, data, Path(folder)), plan.seeds)
        )
    return report(
        system=SYSTEM.name,
        command=command,
        scale=described(plan),
        claims=judge(tuple(statements()), rows),
        rows=rows,
        seconds=time.perf_counter() - started,
        out=out,
        drawings=drawings,
    )


def possible(plan: Plan) -> Plan:
    """Without made speech where no program makes it, which is said."""
    wanted = any(task.config.data.name == "espeak" for task in plan.tasks)
    try:
        if wanted:
            version()
    except OperatorError:
        kept = tuple(task for task in plan.tasks if task.config.data.name != "espeak")
        return plan._replace(tasks=kept, left_out=f"Made speech was left out: {PROGRAM} is not installed.")
    return plan


def measure(study: Study, seeds: int) -> tuple[ClaimRow, ...]:
    """Every condition of one task under every seed. Progress goes to standard error."""
    console = Console(file=sys.stderr)

    def told(done: str) -> None:
        console.print(done, highlight=False, soft_wrap=True)

    return run_paired(conditions(study), range(seeds), study.task.name, told)


def described(plan: Plan) -> str:
    """How this differs from the paper."""
    return (
        f"Scale: {plan.seeds} seeds of small members, trained from scratch on one core; the paper trains 14 members of "
        "79 to 99 million weights over published encoders on MSP-Podcast, which only the holder of its licence has. "
        "Its figures stand in the column `paper` alone and are of that set. "
        f"{' '.join((*map(described_task, plan.tasks), plan.left_out)).strip()} "
        "Both arms of a comparison have the same clips in the same order and as many updates at the same rates, and "
        "nothing is selected: a network is what it is after its last update. Arms leave one thing out of the first "
        "member; copies for the folds have as many updates as members. The meta-classifier begins at the soft vote and "
        "is held near it; the paper's begins at random. `rare_recall`: mean recall of the rarer half of the classes. "
        "`soup_from_run`: how far the macro-F1 of the mean of six runs is from the median of theirs."
    )


def described_task(task: Task) -> str:
    config, updates = task.config, task.updates
    members = config.members if task.ensemble else config.members[:1]
    named = ", ".join("+".join(member.streams) for member in members)
    folds = f", {config.meta.folds} folds of speakers" if task.ensemble else ""
    split = "each seed tests other speakers" if task.dealt else "the set's own split under every seed"
    if config.data.name == "synthetic":
        made = config.data.synthetic
        mixed = f", {100 * made.mixtures:.0f} % of them of two emotions" if made.mixtures else ""
        split = f"each seed makes {made.train} training clips with noise {made.noise:g}{mixed}"
    return (
        f"{task.name}: {len(members)} member{'s' * (len(members) > 1)} ({named}) of width {config.model.width}, "
        f"{updates.first} + {updates.second} updates of {config.optim.batch} clips at {config.stage1.lr:g} and "
        f"{config.stage2.lr:g}{folds}, {split}."
    )
