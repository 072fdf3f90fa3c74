"""One small training on tones, and what hangs on it."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch

from common.registry.layout import Version
from common.training.run import open_run
from music_fewshot.lc_protonets import corpora
from music_fewshot.lc_protonets.config import Config, Data, Episodic, Evaluation, Model, Pretrain
from music_fewshot.lc_protonets.evaluate import Trained, evaluate, load_trained
from music_fewshot.lc_protonets.export import export
from music_fewshot.lc_protonets.train import train


@pytest.fixture(scope="session", autouse=True)
def made_once() -> Iterator[None]:
    """The tones are the same whenever they are made, and take a second. One thread: sums in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "load", cache(corpora.load))
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def config() -> Config:
    return Config(
        seed=3,
        checkpoint_every=4,
        data=Data(validation_tags=4),
        model=Model(window=7_936, mels=32, channels=(8, 12, 16), dimensions=12, dropout=0.2),
        pretrain=Pretrain(epochs=3, lr=5e-3, batch=40),
        episodic=Episodic(epochs=2, trained="last", lr=1e-3, episodes=6, ways=4, validation_episodes=3),
        evaluation=Evaluation(seeds=(3, 21), ways=(5, 12)),
    )


@pytest.fixture(scope="session")
def trained(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished, evaluated run."""
    run = train(config=config, data=None, out=tmp_path_factory.mktemp("runs"), command="kithara train lc_protonets")
    evaluate(run=run, data=None)
    return run


@pytest.fixture(scope="session")
def opened(trained: Path) -> Trained:
    return load_trained(open_run(trained, "lc_protonets"), None)


@pytest.fixture(scope="session")
def version(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Version:
    return export(run=trained, models=tmp_path_factory.mktemp("models"))
