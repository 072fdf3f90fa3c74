"""Pre-training of the suite's own encoders on speech, or transcripts, without labels: find again what is hidden."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn import functional as F

from common.audio.frames import MELS
from common.data.sampler import EpochSampler
from common.text.features import UNKNOWN
from common.training import loop, seeding
from common.training.distributed import World
from common.training.run import Run
from speech.medusa.encoders.clusters import Codebook, learn_codebook
from speech.medusa.encoders.compact import STRIDE, CompactAcoustic, CompactText
from speech.medusa.encoders.settings import Acoustic, Clusters, Masked, Text
from speech.medusa.rows import padded

FOUND = "found"
"""Share of what is hidden in held-out clips that is found again."""
CHUNK = 32
"""Clips per forward pass when nothing is learnt."""


class Pieces(NamedTuple):
    """What is heard or read, and what stands for it where it is hidden."""

    inputs: list[Tensor]
    """float32 (frames, MELS) of each clip, or int64 (tokens,) of each text"""
    units: list[Tensor]
    """int64 (ceil(frames / 4),), or the tokens themselves"""


class Clips(NamedTuple):
    """Frames, or tokens, of clips to learn from, and of others that tell when to stop."""

    learnt: Sequence[np.ndarray]
    held: Sequence[np.ndarray]


def read(texts: Sequence[np.ndarray]) -> Pieces:
    """int64 (tokens,) of each text."""
    ids = [torch.from_numpy(text) for text in texts]
    return Pieces(ids, ids)


def heard(clips: Sequence[np.ndarray], codebook: Codebook) -> Pieces:
    """float32 (frames, FEATURES) of each clip."""
    inputs = [torch.from_numpy(clip[:, :MELS].copy()) for clip in clips]
    return Pieces(inputs, [torch.from_numpy(codebook.units(clip)) for clip in clips])


class AcousticLearner(nn.Module):
    """The encoder, and the head that only pre-training needs."""

    def __init__(self, config: Acoustic, clusters: int) -> None:
        super().__init__()
        self.network = CompactAcoustic(config)
        self.head = nn.Linear(config.width, clusters)

    def said(
        self, pieces: Pieces, settings: Masked, generator: torch.Generator | None, *, cut: bool
    ) -> tuple[Tensor, Tensor]:
        """Logits of the hidden frames, (hidden, clusters), and their clusters."""
        if cut:
            pairs = [_cut(settings.longest, clip, units) for clip, units in zip(*pieces, strict=True)]
            pieces = Pieces([clip for clip, _ in pairs], [units for _, units in pairs])
        given = padded(pieces.inputs, self.network.hidden.device)
        units = nn.utils.rnn.pad_sequence(pieces.units, batch_first=True).to(given.x.device)
        chosen = spans(given.mask[:, ::STRIDE], settings.share, settings.span, generator)
        return self.head(self.network.encode(given, chosen).x[chosen]), units[chosen]


class TextLearner(nn.Module):
    """The encoder, and the head that only pre-training needs: its weights are the token vectors (BERT)."""

    def __init__(self, config: Text, vocabulary: int) -> None:
        super().__init__()
        self.network = CompactText(config, vocabulary)
        self.head = nn.Linear(config.width, config.width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def said(
        self, pieces: Pieces, settings: Masked, generator: torch.Generator | None, *, cut: bool
    ) -> tuple[Tensor, Tensor]:
        """Logits of the hidden tokens, (hidden, vocabulary), and these tokens. No text is cut."""
        ids = nn.utils.rnn.pad_sequence(pieces.inputs, batch_first=True, padding_value=-1).to(self.bias.device)
        mask = ids >= 0
        chosen = spans(mask, settings.share, 1, generator)
        # The unknown token hides: bytes are always known, so no text holds it.
        x = self.network(torch.where(chosen, UNKNOWN, ids), mask).x[chosen]
        return F.linear(F.gelu(self.head(x)), self.network.tokens.weight, self.bias), ids[chosen]


def spans(
    mask: Bool[Tensor, "batch places"], share: float, length: int, generator: torch.Generator | None = None
) -> Bool[Tensor, "batch places"]:
    """About ``share`` of the places under a true mask, in runs of ``length`` that may overlap; at least one a row.

    A place is hidden if one of ``length`` places, up to it, is drawn: 1 - (1 - p)^length = share.
    """
    p = 1 - (1 - share) ** (1 / length)
    draw = torch.rand(mask.shape, generator=generator, device=mask.device).masked_fill(~mask, 2.0)
    starts = (draw < p) | (draw == draw.amin(1, keepdim=True))
    runs = F.max_pool1d(F.pad(starts.float(), (length - 1, 0)), length, 1) > 0
    return runs & mask


Learner = AcousticLearner | TextLearner


def step(learner: Learner, pieces: Pieces, settings: Masked, rows: Tensor) -> dict[str, Tensor]:
    """Cross-entropy at what is hidden."""
    said, truth = learner.said(_some(pieces, rows.tolist()), settings, None, cut=True)
    return {loop.LOSS: F.cross_entropy(said, truth)}


def found(learner: Learner, pieces: Pieces, settings: Masked) -> float:
    """Share of what is hidden that is found again; the same is hidden every time, and no clip is cut."""
    generator = torch.Generator(next(learner.parameters()).device).manual_seed(0)
    right = total = 0
    with torch.inference_mode():
        for at in range(0, len(pieces.inputs), CHUNK):
            part = _some(pieces, range(at, min(at + CHUNK, len(pieces.inputs))))
            said, truth = learner.said(part, settings, generator, cut=False)
            right, total = right + int((said.argmax(1) == truth).sum()), total + len(truth)
    return right / total


def fit(learner: Learner, learnt: Pieces, held: Pieces, settings: Masked, run: Run, here: World, seed: int) -> None:
    """Train into the run's folder, or go on with it; the weights that find most in ``held`` are left in ``learner``."""
    seeding.seed_all((seed + here.rank) % 2**32)  # hides other frames in each process
    phase = loop.Phase(
        name="masked",
        epochs=settings.epochs,
        lr=settings.lr,
        trained=list(learner.parameters()),
        optimizer=partial(torch.optim.AdamW, weight_decay=settings.weight_decay),
        step=partial(step, learner, learnt, settings),
    )
    loop.Trainer(
        learner,
        (phase,),
        EpochSampler(len(learnt.inputs), settings.batch, seed, processes=here.size),
        loop.Selection(lambda: {FOUND: found(learner, held, settings)}, FOUND, len(held.inputs)),
        run,
        here,
        loop.Options(
            schedule="cosine",
            warmup=settings.warmup,
            clip=settings.clip,
            checkpoint_every=settings.checkpoint_every,
        ),
    ).fit()


def learn_acoustic(
    config: Acoustic,
    clusters: Clusters,
    settings: Masked,
    clips: Clips,
    run: Run,
    here: World,
    seed: int,
) -> CompactAcoustic:
    """Clusters, then the encoder that finds them; in eval mode, with the weights that find most in ``clips.held``."""
    seeding.seed_all(seed)
    learner = AcousticLearner(config, clusters.count)
    learner.network.fit(clips.learnt)
    codebook = learn_codebook(clips.learnt, clusters, seed)
    learnt, held = heard(clips.learnt, codebook), heard(clips.held, codebook)
    fit(learner.to(here.device), learnt, held, settings, run, here, seed)
    return learner.network.eval()


def learn_text(
    config: Text, vocabulary: int, settings: Masked, clips: Clips, run: Run, here: World, seed: int
) -> CompactText:
    """The encoder that finds hidden tokens, int64 (tokens,) of each text; as ``learn_acoustic``."""
    seeding.seed_all(seed)
    learner = TextLearner(config, vocabulary)
    learnt, held = read(clips.learnt), read(clips.held)
    fit(learner.to(here.device), learnt, held, settings, run, here, seed)
    return learner.network.eval()


def _some(pieces: Pieces, rows: Sequence[int]) -> Pieces:
    return Pieces([pieces.inputs[n] for n in rows], [pieces.units[n] for n in rows])


def _cut(longest: int, clip: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
    """A piece of a longer clip that begins anywhere a unit does."""
    width = longest // STRIDE
    if len(units) <= width:
        return clip, units
    start = int(torch.randint(len(units) - width + 1, ()))
    return clip[start * STRIDE : (start + width) * STRIDE], units[start : start + width]
