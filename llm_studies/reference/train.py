"""One phase: binary cross-entropy of all labels, selected by micro-F1 on the development split."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from common.claims.similarity import similarity
from common.data.sampler import EpochSampler
from common.registry.cards import write_whole
from common.text.features import TOKENIZER, probabilities, read_tokenizer
from common.text.rows import Rows
from common.text.thresholds import best_thresholds
from common.text.tokenizer import learn_tokenizer
from common.training import loop, seeding
from common.training.distributed import World, shared_run, world
from common.training.run import Run, open_run
from llm_studies.icl_priors.items import Corpus
from llm_studies.reference.config import Config
from llm_studies.reference.data import label_names, load, rows, source
from llm_studies.reference.losses import multi_label, positive_weights
from llm_studies.reference.model import Encoder
from llm_studies.reference.system import SYSTEM

SELECTED = "micro_f1"
CHUNK = 256
"""Texts per forward pass when nothing is learnt."""
PASSES = 4
"""Forward passes per step, texts sorted by length: a padding token costs as much as a word."""


def train(*, config: Config, data: Path | None, out: Path, resume: Path | None = None, command: str) -> Path:
    """Train, or go on with the run ``resume`` under its own configuration; returns the run folder.

    Raises OperatorError for missing data, an annotator that is not there, or a folder that is no run.
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
        tokenizer = _tokenizer(run, config, corpus, here)
        seeding.seed_all(config.seed)
        names = label_names(tokenizer, corpus.labels)
        model = Encoder(tokenizer.get_vocab_size(), config.tokens.longest, names, config.model).to(here.device)
        seeding.seed_all((config.seed + here.rank) % 2**32)  # equal weights, but dropout of its own in each process
        _trainer(model, config, corpus, tokenizer, run, here).fit()
    return run.folder


def scores(model: Encoder, asked: Rows) -> np.ndarray:
    """Probabilities float64 (n, labels) by the network in eval mode, as the server computes them."""
    if model.training:
        raise ValueError("probabilities are read in eval mode: dropout belongs to training")
    order = asked.lengths.argsort(stable=True)
    with torch.inference_mode():
        logits = torch.cat([model(*asked.batch(part)) for part in order.split(CHUNK)])
    return probabilities(logits[order.argsort()].cpu().numpy())


def step(model: Encoder, learnt: Rows, weights: Tensor, batch: Tensor) -> dict[str, Tensor]:
    """The loss of one batch of row numbers."""
    order = learnt.by_length(batch)
    logits = torch.cat([model(*learnt.batch(part)) for part in order.chunk(PASSES)])
    return {loop.LOSS: multi_label(logits, learnt.truth[order].to(logits.dtype), weights)}


def _tokenizer(run: Run, config: Config, corpus: Corpus, here: World) -> Tokenizer:
    """The run's own, learnt once: a resumed run and every process read the same file."""
    path = run.folder / TOKENIZER
    if here.leads and not path.exists():
        texts = (item.text for item in corpus.split("train"))
        write_whole(path, learn_tokenizer(texts, config.tokens.vocabulary).to_str().encode())
    here.share_number(0.0)  # nobody reads before the file is there
    return read_tokenizer(path)


def _trainer(
    model: Encoder, config: Config, corpus: Corpus, tokenizer: Tokenizer, run: Run, here: World
) -> loop.Trainer:
    optim = config.optim
    learnt, held = (
        rows(corpus.split(split), config.data.annotator, tokenizer, config.tokens.longest, here.device)
        for split in ("train", "dev")
    )
    rates = learnt.truth.float().mean(0)
    model.start_at(rates)
    truth = held.truth.cpu().numpy()

    def measure() -> dict[str, float]:
        p = scores(model, held)
        said = p >= best_thresholds(p, truth)
        return {SELECTED: similarity(said, truth, "micro_f1"), "macro_f1": similarity(said, truth, "macro_f1")}

    phase = loop.Phase(
        name="learn",
        epochs=optim.epochs,
        lr=optim.lr,
        trained=list(model.parameters()),
        optimizer=partial(torch.optim.AdamW, weight_decay=optim.weight_decay),
        step=partial(step, model, learnt, positive_weights(rates, optim.balance)),
    )
    return loop.Trainer(
        model,
        (phase,),
        EpochSampler(len(learnt.lengths), optim.batch, config.seed, processes=here.size),
        loop.Selection(measure, SELECTED, len(truth)),
        run,
        here,
        loop.Options(schedule="cosine", warmup=optim.warmup, clip=optim.clip, checkpoint_every=optim.checkpoint_every),
    )
