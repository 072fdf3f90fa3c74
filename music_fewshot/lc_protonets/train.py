"""Supervised pre-training on the base tags, then few-shot training by episodes; either can be left out."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from common.data.sampler import EpochSampler, NumberSampler
from common.errors import OperatorError
from common.training import checkpoint, loop, seeding
from common.training.distributed import World, shared_run, world
from common.training.run import Run, open_run, same_data
from music_fewshot.lc_protonets.config import Config
from music_fewshot.lc_protonets.corpora import Corpus
from music_fewshot.lc_protonets.data import Rows, embedder, load, rows, source
from music_fewshot.lc_protonets.episodes import Pool
from music_fewshot.lc_protonets.model import Embedder
from music_fewshot.lc_protonets.steps import EpisodeStep, tagging_step
from music_fewshot.lc_protonets.system import SYSTEM
from music_fewshot.lc_protonets.validation import episode_selection, tagging_selection


def train(*, config: Config, data: Path | None, out: Path, resume: Path | None = None, command: str) -> Path:
    """Train, or go on with the run ``resume`` under its own configuration; returns the run folder.

    Raises OperatorError for missing data, a folder that is no run, a ``start`` of another shape or other data, or a
    configuration without any epoch.
    """
    if resume is not None and open_run(resume, SYSTEM.name).manifest.status == "finished":
        return resume
    with world(config.device) as here:
        corpus = load(config, data)
        run = shared_run(
            here,
            resume,
            out,
            system=SYSTEM.name,
            command=command,
            config=config,
            seed=config.seed,
            data=(source(corpus),),
        )
        seeding.seed_all(config.seed)
        model = embedder(config, corpus).to(here.device)
        if config.start is not None and checkpoint.latest(run.checkpoints) is None:
            start(model, open_run(Path(config.start), SYSTEM.name), corpus)
        seeding.seed_all((config.seed + here.rank) % 2**32)  # equal weights, but windows of its own in each process
        _trainer(model, config, corpus, run, here).fit()
    return run.folder


def start(model: Embedder, run: Run, corpus: Corpus) -> None:
    """Take over the embedding of a finished run on the same data, not its classifier. Raises OperatorError."""
    if run.manifest.checkpoint is None:
        raise OperatorError(f"start: {run.folder} is not finished; let it finish, or name another run")
    same_data(run, (source(corpus),))
    theirs = checkpoint.read(run.folder / run.manifest.checkpoint).part("model.backbone")
    ours = model.backbone.state_dict()
    if {name: t.shape for name, t in theirs.items()} != {name: t.shape for name, t in ours.items()}:
        raise OperatorError(f"start: {run.folder} holds a network of another shape; give the [model] of that run")
    model.backbone.load_state_dict(theirs)


def phases(
    model: Embedder, config: Config, corpus: Corpus, learnt: Rows, held: Rows, processes: int
) -> Iterator[loop.Phase]:
    """The phases that have epochs, in order."""
    if (pretrain := config.pretrain).epochs:
        yield loop.Phase(
            name="pretrain",
            epochs=pretrain.epochs,
            lr=pretrain.lr,
            trained=[*model.backbone.parameters(), *model.tagger.parameters()],
            optimizer=partial(torch.optim.Adam, weight_decay=pretrain.weight_decay),
            step=partial(tagging_step, model, learnt),
            schedule=pretrain.schedule,
        )
    if (episodic := config.episodic).epochs:
        part = model.backbone if episodic.trained == "full" else model.backbone.dense
        pool = Pool(corpus.splits["train"].truth, range(corpus.base - config.data.validation_tags))
        yield loop.Phase(
            name="episodic",
            epochs=episodic.epochs,
            lr=episodic.lr,
            trained=[*part.parameters(), *model.scale.parameters()],
            optimizer=torch.optim.Adam,
            step=EpisodeStep(model, learnt, pool, episodic, config.seed),
            sampler=NumberSampler(episodic.episodes, episodic.episodes_per_step, processes=processes),
            selection=episode_selection(model, held, config, corpus.base),
        )


def _trainer(model: Embedder, config: Config, corpus: Corpus, run: Run, here: World) -> loop.Trainer:
    learnt, held = rows(model, corpus.splits["train"]), rows(model, corpus.splits["dev"])
    try:
        chosen = tuple(phases(model, config, corpus, learnt, held, here.size))
        sampler = EpochSampler(len(learnt.truth), config.pretrain.batch, config.seed, processes=here.size, least=2)
    except ValueError as error:
        raise OperatorError(f"{error}; raise pretrain.batch and episodic.episodes_per_step") from error
    if not chosen:
        raise OperatorError("both phases have 0 epochs; give pretrain.epochs or episodic.epochs some")
    options = loop.Options(checkpoint_every=config.checkpoint_every)
    return loop.Trainer(model, chosen, sampler, tagging_selection(model, held), run, here, options)
