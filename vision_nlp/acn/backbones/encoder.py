"""A BERT-style text encoder (arXiv 1810.04805): post-norm blocks, a class token, a head for masked words and one for
labels.

The mask of every function is that of the tokens, (batch, tokens), true where one lies; the class token, which comes
first and is always seen, is added inside.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from common.text.features import PAD, UNKNOWN
from vision_nlp.acn.backbones.parts import Attention
from vision_nlp.acn.config import Mode
from vision_nlp.acn.wiring import AutoCompressing, first, has_skips


@runtime_checkable
class Settings(Protocol):
    """What ``build_encoder`` reads of a configuration."""

    @property
    def mode(self) -> Mode: ...
    @property
    def layers(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def dropout(self) -> float: ...
    @property
    def residual_weight(self) -> float | None: ...


class Words(nn.Module):
    """Token and position embeddings behind a class token, normalised."""

    def __init__(self, vocabulary: int, longest: int, width: int, dropout: float) -> None:
        super().__init__()
        self.vocabulary, self.longest = vocabulary, longest
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(longest, width)
        self.first = nn.Parameter(torch.empty(width))
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(dropout)
        # As BERT: they are also the weights of the masked-word head, for which torch's own N(0, 1) is far too large.
        for weight in (self.tokens.weight, self.positions.weight, self.first):
            nn.init.normal_(weight, std=0.02)

    def forward(
        self, ids: Int[Tensor, "batch tokens"], mask: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch positions width"]:
        """positions = 1 + tokens. An id outside the vocabulary is the unknown token; one under a false mask is PAD."""
        known = torch.where((ids >= 0) & (ids < self.vocabulary), ids, UNKNOWN)
        # Without the clamp, one text over the longest would fail the whole batch.
        places = torch.arange(ids.shape[1], device=ids.device).clamp(max=self.longest - 1)
        x = self.tokens(torch.where(mask, known, PAD)) + self.positions(places)
        return self.dropout(self.norm(torch.cat([self.first.expand(ids.shape[0], 1, -1), x], 1)))


class EncoderBlock(nn.Module):
    """a = LN(Drop(MHA(x))), out = LN(Drop(MLP(a))); with ``skips`` BERT's LN(x + ...) and LN(a + ...)."""

    def __init__(self, width: int, heads: int, dropout: float, *, skips: bool) -> None:
        super().__init__()
        self.skips = skips
        self.attention = Attention(width, heads)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch positions width"], mask: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch positions width"]:
        """No position under a false mask is attended to."""
        seen = torch.cat([torch.ones_like(x[:, :1, 0], dtype=torch.bool), mask], 1)
        a = self.dropout(self.attention(x, seen))
        a = self.norm1(x + a if self.skips else a)
        out = self.dropout(self.feed(a))
        return self.norm2(a + out if self.skips else out)


class MaskedLanguageHead(nn.Module):
    """Which token lies at a position, from the same y that the label head reads."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.transform = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(
        self, y: Float[Tensor, "*batch width"], embedding: Float[Tensor, "vocabulary width"]
    ) -> Float[Tensor, "*batch vocabulary"]:
        """``y``: of the chosen positions. ``embedding``: the network's token embeddings, shared as in BERT."""
        return F.linear(self.transform(y), embedding, self.bias)


def build_encoder(config: Settings, vocabulary: int, longest: int, labels: int) -> AutoCompressing:
    """A network over (ids int64 (batch, tokens), mask bool (batch, tokens)) with BERT's pooler as its head.

    ``network.run(ids, mask).y[:, 1:]`` is what ``MaskedLanguageHead`` reads, one row for each token, and
    ``network.embed.tokens.weight`` its other argument. Raises ValueError for a width that is no multiple of the heads.
    """
    if config.width % config.heads:
        raise ValueError(f"width {config.width} is no multiple of heads {config.heads}")
    width, dropout, skips = config.width, config.dropout, has_skips(config.mode)
    return AutoCompressing(
        [EncoderBlock(width, config.heads, dropout, skips=skips) for _ in range(config.layers)],
        Words(vocabulary, longest, width, dropout),
        nn.Identity(),
        nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, labels)),
        first,
        config.mode,
        config.residual_weight,
    )
