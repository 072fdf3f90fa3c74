"""Two phases: masked words on the training texts, then their labels; selected on the development split."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from common.claims.similarity import similarity
from common.data.emotions import Emotions
from common.data.sampler import EpochSampler
from common.registry.cards import write_whole
from common.text.features import TOKENIZER, probabilities, read_tokenizer
from common.text.rows import Rows
from common.text.thresholds import best_thresholds
from common.text.tokenizer import learn_tokenizer
from common.training import loop, seeding
from common.training.distributed import World, shared_run, world
from common.training.run import Run, open_run
from vision_nlp.acn_text.config import Config
from vision_nlp.acn_text.data import load, rows
from vision_nlp.acn_text.losses import drop_words, hide
from vision_nlp.acn_text.model import Learner
from vision_nlp.acn_text.system import SYSTEM

SELECTED = "micro_f1"
FOUND = "words_found"
CHUNK = 256
"""Texts per forward pass when nothing is learnt."""
PASSES = 4
"""Forward passes per step, texts sorted by length: a padding token costs as much as a word."""


def train(*, config: Config, data: Path | None, out: Path, resume: Path | None = None, command: str) -> Path:
    """Train, or go on with the run ``resume`` under its own configuration; returns the run folder.

    Raises OperatorError for missing data or a folder that is no run.
    """
    if resume is not None and open_run(resume, SYSTEM.name).manifest.status == "finished":
        return resume
    with world(config.device) as here:
        emotions = load(config, data)
        run = shared_run(
            here,
            resume,
            out,
            system=SYSTEM.name,
            command=command,
            config=config,
            seed=config.seed,
            data=(emotions.source,),
        )
        tokenizer = _tokenizer(run, config, emotions, here)
        seeding.seed_all(config.seed)
        longest = config.tokens.longest
        learner = Learner(config.model, tokenizer.get_vocab_size(), longest, len(emotions.labels)).to(here.device)
        seeding.seed_all((config.seed + here.rank) % 2**32)  # equal weights, but dropout of its own in each process
        learnt, held = (
            rows(emotions, emotions.split(name), tokenizer, longest).to(here.device) for name in ("train", "dev")
        )
        _trainer(learner, config, learnt, held, run, here).fit()
    return run.folder


def logits(learner: Learner, asked: Rows) -> np.ndarray:
    """float32 (depths, n, labels): of every sub-network, k = 0..L, in eval mode, as the server computes them."""
    if learner.training:
        raise ValueError("logits are read in eval mode: dropout belongs to training")
    order = asked.by_length(torch.arange(len(asked.lengths), device=asked.lengths.device))
    with torch.inference_mode():
        found = torch.cat([learner.network.forward_all(*asked.batch(part)) for part in order.split(CHUNK)], 1)
    return found[:, order.argsort()].cpu().numpy()


def words_found(learner: Learner, asked: Rows, share: float) -> float:
    """Share of the hidden words that the masked-word head finds again; the same words are hidden every time."""
    generator = torch.Generator(asked.ids.device).manual_seed(0)
    right = total = 0
    with torch.inference_mode():
        for part in asked.by_length(torch.arange(len(asked.lengths), device=asked.lengths.device)).split(CHUNK):
            ids, mask = asked.batch(part)
            seen, chosen = hide(ids, mask, share, learner.embed.vocabulary, generator)
            said = learner.masked_words(seen, mask, chosen).argmax(1)
            right, total = right + int((said == ids[chosen]).sum()), total + len(said)
    return right / total


def masked_step(learner: Learner, learnt: Rows, share: float, batch: Tensor) -> dict[str, Tensor]:
    """Cross-entropy over the whole vocabulary at the hidden words of one batch of row numbers."""
    said, truth = [], []
    for part in learnt.by_length(batch).chunk(PASSES):
        ids, mask = learnt.batch(part)
        seen, chosen = hide(ids, mask, share, learner.embed.vocabulary)
        said.append(learner.masked_words(seen, mask, chosen))
        truth.append(ids[chosen])
    return {loop.LOSS: F.cross_entropy(torch.cat(said), torch.cat(truth))}


def label_step(learner: Learner, learnt: Rows, word_dropout: float, batch: Tensor) -> dict[str, Tensor]:
    """Mean binary cross-entropy over texts and labels of one batch of row numbers, at the whole depth alone."""
    order = learnt.by_length(batch)
    parts = (learnt.batch(part) for part in order.chunk(PASSES))
    said = torch.cat([learner.network(drop_words(ids, word_dropout), mask) for ids, mask in parts])
    return {loop.LOSS: F.binary_cross_entropy_with_logits(said, learnt.truth[order].to(said.dtype))}


def phases(learner: Learner, config: Config, learnt: Rows, held: Rows) -> Iterator[loop.Phase]:
    """``masked``, unless it has no epoch, and ``classify``; each with an optimiser of its own."""
    adamw = partial(torch.optim.AdamW, weight_decay=config.optim.weight_decay)
    share = config.masked.share
    if config.masked.epochs:
        yield loop.Phase(
            name="masked",
            epochs=config.masked.epochs,
            lr=config.masked.lr,
            trained=learner.pretrained(),
            optimizer=adamw,
            step=partial(masked_step, learner, learnt, share),
            selection=loop.Selection(lambda: {FOUND: words_found(learner, held, share)}, FOUND, len(held.lengths)),
        )
    yield loop.Phase(
        name="classify",
        epochs=config.classify.epochs,
        lr=config.classify.lr,
        trained=list(learner.network.parameters()),
        optimizer=adamw,
        step=partial(label_step, learner, learnt, config.classify.word_dropout),
    )


def _trainer(learner: Learner, config: Config, learnt: Rows, held: Rows, run: Run, here: World) -> loop.Trainer:
    optim = config.optim
    learner.start_at(learnt.truth.float().mean(0))
    truth = held.truth.cpu().numpy()

    def measure() -> dict[str, float]:
        p = probabilities(logits(learner, held)[-1])
        said = p >= best_thresholds(p, truth)
        return {SELECTED: similarity(said, truth, "micro_f1"), "macro_f1": similarity(said, truth, "macro_f1")}

    return loop.Trainer(
        learner,
        tuple(phases(learner, config, learnt, held)),
        EpochSampler(len(learnt.lengths), optim.batch, config.seed, processes=here.size),
        loop.Selection(measure, SELECTED, len(truth)),
        run,
        here,
        loop.Options(schedule="cosine", warmup=optim.warmup, clip=optim.clip, checkpoint_every=optim.checkpoint_every),
    )


def _tokenizer(run: Run, config: Config, emotions: Emotions, here: World) -> Tokenizer:
    """The run's own, learnt once: a resumed run and every process read the same file."""
    path = run.folder / TOKENIZER
    if here.leads and not path.exists():
        texts = (text.text for text in emotions.split("train"))
        write_whole(path, learn_tokenizer(texts, config.tokens.vocabulary).to_str().encode())
    here.share_number(0.0)  # nobody reads before the file is there
    return read_tokenizer(path)
