"""The whole way: prompts, respondent, parser, estimator. What goes in as kappa and eps comes out of the report.

A mix-up of demonstrations, labels, annotators or queries anywhere on the way would show here.
"""

import asyncio

import numpy as np
import pytest

from llm_studies.icl_priors.config import Config, Data, Generated, Grid
from llm_studies.icl_priors.study import make
from llm_studies.simulate import gold
from llm_studies.simulate.ask import SimulatedAsk
from llm_studies.simulate.config import Respondent
from llm_studies.simulate.respondent import SimulatedRespondent

STUDY = Config(
    data=Data(generated=Generated(train=150, dev=100, test=80)),
    grid=Grid(conditions=("icl", "prior:distribution"), shots=(5, 25)),
    rounds=100,
    shuffles=10,
)
SEEDS = 3


async def estimates(seed: int, kappa: float) -> list[tuple[float, float, float]]:
    """(kappa, eps1, eps0) at 5 and at 25 shots, as the report says."""
    respondent = Respondent(seed=seed, kappa=kappa, eps1=0.15, eps0=0.03)
    study, ask = make(STUDY, None), SimulatedAsk(SimulatedRespondent(respondent, gold.of_study(STUDY, None)))
    number = 0
    while jobs := await study.stage(number, ask):
        for job in jobs:
            await job.work(ask)
        number += 1
    tables = (await study.report(ask)).tables
    pull = next(table for table in tables if "kappa" in table.columns)
    columns = [pull.columns.index(name) for name in ("kappa", "eps1", "eps0")]
    return [tuple(float(row[i] or 0) for i in columns) for row in pull.rows if row[1] == "all labels"]  # type: ignore[misc]


@pytest.mark.parametrize("kappa", [0.0, 0.5, 1.0])
def test_the_report_finds_the_respondent_s_parameters(kappa):
    found = np.array([asyncio.run(estimates(seed, kappa)) for seed in range(SEEDS)])
    for shots in range(2):
        assert np.allclose(found[:, shots].mean(0), [kappa, 0.15, 0.03], atol=[0.05, 0.03, 0.03])
