# ruff: noqa: E402 - the hook must come before what it watches
"""One short training on generated texts. Shapes in annotations are checked; nothing else imports the modules before."""

import sys
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

CHECKED = ("llm_studies.reference.model", "llm_studies.reference.losses")

if not any(name in sys.modules for name in CHECKED):
    with install_import_hook(CHECKED, "beartype.beartype"):
        import llm_studies.reference.losses
        import llm_studies.reference.model  # noqa: F401

from common.registry.layout import Version
from common.training.run import open_run
from llm_studies.reference.config import Config, Data, Generated, Model, Optim, Tokens
from llm_studies.reference.evaluate import Trained, evaluate, load_trained
from llm_studies.reference.export import export
from llm_studies.reference.train import train


@pytest.fixture(scope="session")
def config() -> Config:
    return Config(
        seed=3,
        data=Data(generated=Generated(train=400, dev=60, test=80)),
        tokens=Tokens(vocabulary=500, longest=40),
        model=Model(width=32, layers=1, heads=2, dropout=0.1, word_dropout=0.1),
        optim=Optim(batch=50, epochs=18, lr=6e-3, warmup=8, checkpoint_every=5),
    )


@pytest.fixture(scope="session")
def trained(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished, evaluated run."""
    run = train(config=config, data=None, out=tmp_path_factory.mktemp("runs"), command="kithara train reference")
    evaluate(run=run, data=None)
    return run


@pytest.fixture(scope="session")
def opened(trained: Path) -> Trained:
    return load_trained(open_run(trained, "reference"), None)


@pytest.fixture(scope="session")
def version(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Version:
    return export(run=trained, models=tmp_path_factory.mktemp("models"))
