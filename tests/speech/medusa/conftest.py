# ruff: noqa: E402 - the hook must come before what it watches
"""One short training on made clips. Shapes in annotations are checked; nothing else imports the modules before."""

import sys
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

CHECKED = tuple(f"speech.medusa.{name}" for name in ("mixup", "model", "losses", "stems", "sampling", "meta"))

if not any(name in sys.modules for name in CHECKED):
    with install_import_hook(CHECKED, "beartype.beartype"):
        import speech.medusa.losses
        import speech.medusa.meta
        import speech.medusa.mixup
        import speech.medusa.model
        import speech.medusa.sampling
        import speech.medusa.stems  # noqa: F401

from common.training.run import Run, open_run
from speech.medusa.config import (
    Augment,
    Config,
    Data,
    Member,
    MetaStage,
    Model,
    Optim,
    Stage,
    Stem,
    Stream,
    Synthetic,
)
from speech.medusa.evaluate import evaluate
from speech.medusa.train import train


@pytest.fixture(scope="session")
def config() -> Config:
    """Two members of different streams, both stages, two folds."""
    return Config(
        seed=3,
        data=Data(synthetic=Synthetic(train=72, dev=24, test=40, speakers=4, noise=0.2)),
        streams={
            "mel": Stream(part="mel", augment=Augment(noise=0.1), stem=Stem(channels=(8,), kernel=3)),
            "voice": Stream(part="descriptors", pool=2),
        },
        members=(Member(streams=("mel", "voice")), Member(streams=("voice",), seed=1)),
        model=Model(width=8, feed_forward=16),
        stage1=Stage(epochs=2, lr=1e-3),
        stage2=Stage(epochs=2, lr=1e-3),
        meta=MetaStage(folds=2, epochs=3, runs=2, batch=16),
        optim=Optim(batch=16, warmup=2, checkpoint_every=2),
    )


@pytest.fixture(scope="session")
def trained(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished, evaluated run."""
    run = train(config=config, data=None, out=tmp_path_factory.mktemp("runs"), command="kithara train medusa")
    evaluate(run=run, data=None)
    return run


@pytest.fixture
def run(trained: Path) -> Run:
    return open_run(trained, "medusa")
