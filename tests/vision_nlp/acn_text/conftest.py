# ruff: noqa: E402 - the hook must come before what it watches
"""One short training on generated texts. Shapes in annotations are checked; nothing else imports the modules before."""

import sys
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

CHECKED = ("vision_nlp.acn_text.model", "vision_nlp.acn_text.losses")

if not any(name in sys.modules for name in CHECKED):
    with install_import_hook(CHECKED, "beartype.beartype"):
        import vision_nlp.acn_text.losses
        import vision_nlp.acn_text.model  # noqa: F401

from common.registry.layout import Version
from common.training.run import Run, open_run
from vision_nlp.acn_text.config import Classify, Config, Data, Generated, Masked, Model, Optim, Tokens
from vision_nlp.acn_text.evaluate import evaluate
from vision_nlp.acn_text.export import export
from vision_nlp.acn_text.train import train


@pytest.fixture(scope="session")
def config() -> Config:
    return Config(
        seed=3,
        data=Data(generated=Generated(train=300, dev=60, test=80)),
        tokens=Tokens(vocabulary=450, longest=40),
        model=Model(width=24, layers=3, heads=2, dropout=0.1),
        masked=Masked(epochs=2, lr=3e-3),
        classify=Classify(epochs=12, lr=6e-3, word_dropout=0.02),
        optim=Optim(batch=50, warmup=4, checkpoint_every=4),
        tolerance=2.0,
    )


@pytest.fixture(scope="session")
def trained(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished, evaluated run."""
    run = train(config=config, data=None, out=tmp_path_factory.mktemp("runs"), command="kithara train acn_text")
    evaluate(run=run, data=None)
    return run


@pytest.fixture
def run(trained: Path) -> Run:
    return open_run(trained, "acn_text")


@pytest.fixture(scope="session")
def version(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Version:
    return export(run=trained, models=tmp_path_factory.mktemp("models"))
