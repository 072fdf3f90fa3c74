"""A round of two made sets at a size of seconds."""

import pytest
from msgspec.structs import replace

from speech.medusa.config import Config, Model, Optim, Synthetic
from speech.medusa.experiments.learning import Updates
from speech.medusa.experiments.tasks import Task, made
from speech.medusa.study import Round, Study

UPDATES = Updates(5, 3)
CLIPS = Synthetic(train=96, dev=24, test=40, speakers=4, noise=0.2)


def tiny(task: Task) -> Task:
    """The same comparisons on few clips, by networks that learn next to nothing."""
    return task._replace(
        updates=UPDATES,
        config=replace(
            task.config,
            model=Model(width=8, feed_forward=8, dropout=0.1),
            meta=replace(task.config.meta, epochs=2, runs=3),
            optim=Optim(batch=8, warmup=2),
        ),
    )


@pytest.fixture(scope="session")
def tasks() -> tuple[Task, ...]:
    return tuple(map(tiny, made(UPDATES, CLIPS, members=3, folds=2)))


@pytest.fixture(scope="session")
def study(tasks: tuple[Task, ...], tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(tasks[0], 2, None, tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="session")
def played(study: Study) -> Round:
    """The first seed."""
    return study.round(0)


@pytest.fixture
def config(played: Round) -> Config:
    return played.config
