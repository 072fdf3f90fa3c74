"""The suite's own encoders: small enough to stand in the served graph, pre-trained on speech without labels."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from common.audio.frames import MELS
from common.text.features import PAD, UNKNOWN
from contracts.speech import IDS
from speech.medusa.config import Model, Stem
from speech.medusa.encoders.settings import Acoustic, Text
from speech.medusa.model import Padded, TransformerLayer
from speech.medusa.stems import Standardise, TimeConvolutions

STRIDE = 4
"""Frames of the front end in one of the encoder."""
REACH = 15
"""Frames of the encoder that tell a frame its place (convolutional positions, HuBERT)."""


class Layers(nn.Module):
    """Places, then transformer layers; what is read is the mean of all layers' outputs."""

    def __init__(self, config: Acoustic) -> None:
        super().__init__()
        width = config.width
        inner = Model(width=width, heads=config.heads, feed_forward=config.feed_forward, dropout=config.dropout)
        self.places = nn.Conv1d(width, width, REACH, padding=REACH // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(TransformerLayer(inner) for _ in range(config.layers))

    def forward(
        self, x: Float[Tensor, "batch frames width"], mask: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch frames width"]:
        """Frames under a false mask are zeros to the places, and nothing to attention."""
        x = x.masked_fill(~mask[..., None], 0.0)
        x = self.norm(x + F.gelu(self.places(x.transpose(1, 2))).transpose(1, 2))
        outputs = []
        for layer in self.layers:
            x = layer(x, mask)
            outputs.append(x)
        return torch.stack(outputs).mean(0)


class CompactAcoustic(nn.Module):
    """Log-mel bands (64) each 10 ms -> ``dim`` numbers each 40 ms."""

    def __init__(self, config: Acoustic) -> None:
        super().__init__()
        self.dim = config.width
        self.scale = Standardise(MELS)
        stem = Stem(channels=(config.width, config.width), kernel=5, dropout=config.dropout)
        self.convolve = TimeConvolutions(stem, MELS)
        self.hidden = nn.Parameter(0.1 * torch.randn(config.width))
        """Stands where pre-training hides a frame."""
        self.layers = Layers(config)

    def fit(self, frames: Sequence[np.ndarray]) -> None:
        """Set the scale of the bands: float32 (frames, features) each, the bands first."""
        self.scale.fit(torch.from_numpy(np.concatenate([clip[:, :MELS] for clip in frames])))

    def forward(self, padded: Padded) -> Padded:
        """(batch, frames, features >= 64) -> (batch, ceil(frames / 4), dim)."""
        return self.encode(padded, None)

    def encode(self, padded: Padded, chosen: Bool[Tensor, "batch places"] | None) -> Padded:
        """With the chosen frames, of 40 ms, hidden."""
        heard = self.convolve(self.scale(Padded(padded.x[..., :MELS], padded.mask)))
        x = heard.x if chosen is None else torch.where(chosen[..., None], self.hidden, heard.x)
        return Padded(self.layers(x, heard.mask), heard.mask)


class CompactText(nn.Module):
    """Tokens of ``common.text`` -> ``dim`` numbers each."""

    reads = IDS

    def __init__(self, config: Text, vocabulary: int) -> None:
        super().__init__()
        self.dim, self.vocabulary = config.width, vocabulary
        self.tokens = nn.Embedding(vocabulary, config.width)
        # The weights of the masked-word head too, for which torch's own N(0, 1) is far too large (BERT).
        nn.init.normal_(self.tokens.weight, std=0.02)
        self.layers = Layers(config)

    def forward(self, ids: Int[Tensor, "batch tokens"], mask: Bool[Tensor, "batch tokens"]) -> Padded:
        """An id outside the vocabulary is the unknown token; one under a false mask is PAD."""
        known = torch.where((ids >= 0) & (ids < self.vocabulary), ids, UNKNOWN)
        return Padded(self.layers(self.tokens(torch.where(mask, known, PAD)), mask), mask)
