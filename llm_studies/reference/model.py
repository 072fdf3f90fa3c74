"""A small Transformer encoder whose input begins with the label names (Demux, arXiv 2210.15842).

Each label is one position: the mean embedding of the pieces of its name. It attends to the text and to the other
labels, and what comes out there is the label's logit. A label set is part of the input, not of the last layer.
"""

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from common.text.features import PAD, UNKNOWN
from llm_studies.reference.config import Model


class Block(nn.Module):
    """Attention and a feed-forward layer, both on normalised input and added to it (pre-norm, arXiv 2002.04745)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch positions width"], seen: Bool[Tensor, "batch positions"]
    ) -> Float[Tensor, "batch positions width"]:
        """``seen``: positions that may be attended to."""
        q, k, v = rearrange(self.qkv(self.norm1(x)), "b t (n h d) -> n b h t d", n=3, h=self.heads).unbind(0)
        rate = self.rate if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, seen[:, None, None, :], rate)
        x = x + self.dropout(self.out(rearrange(attended, "b h t d -> b t (h d)")))
        return x + self.dropout(self.feed(self.norm2(x)))


class Encoder(nn.Module):
    """Logits of all labels from the tokens of a text; no position under a false mask has any influence."""

    names: Tensor
    """Int[Tensor, "labels pieces"]: the ids of the label names, filled with PAD."""

    def __init__(self, vocabulary: int, longest: int, names: Int[Tensor, "labels pieces"], config: Model) -> None:
        super().__init__()
        self.vocabulary, self.longest, self.word_dropout = vocabulary, longest, config.word_dropout
        self.register_buffer("names", names)
        self.embedding = nn.Embedding(vocabulary, config.width)
        self.position = nn.Embedding(longest, config.width)
        self.is_label = nn.Parameter(torch.zeros(config.width))
        blocks = (Block(config.width, config.heads, config.dropout) for _ in range(config.layers))
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(config.width)
        self.logit = nn.Linear(config.width, 1)
        self.bias = nn.Parameter(torch.zeros(len(names)))
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.embedding.weight, std=0.1)
        nn.init.normal_(self.position.weight, std=0.02)

    def forward(
        self, ids: Int[Tensor, "batch tokens"], mask: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch labels"]:
        """``mask`` is true where a token lies. An id outside the vocabulary is the unknown token."""
        ids = torch.where((ids >= 0) & (ids < self.vocabulary), ids, UNKNOWN)
        if self.training and self.word_dropout:
            ids = torch.where(torch.rand(ids.shape, device=ids.device) < self.word_dropout, UNKNOWN, ids)
        labels = self.label_embeddings().expand(ids.shape[0], -1, -1)
        # Without the clamp, one text over the longest would fail the whole batch.
        place = torch.arange(ids.shape[1], device=ids.device).clamp(max=self.longest - 1)
        x = self.dropout(torch.cat([labels, self.embedding(ids) + self.position(place)], 1))
        seen = torch.cat([torch.ones_like(labels[..., 0], dtype=torch.bool), mask], 1)
        for block in self.blocks:
            x = block(x, seen)
        at_labels = self.norm(x[:, : labels.shape[1]])
        return self.logit(self.dropout(at_labels)).squeeze(-1) + self.bias

    def label_embeddings(self) -> Float[Tensor, "labels width"]:
        """No order among labels: they share one mark instead of positions."""
        given = (self.names != PAD).unsqueeze(-1)
        return (self.embedding(self.names) * given).sum(1) / given.sum(1) + self.is_label

    def start_at(self, rates: Float[Tensor, "labels"]) -> None:
        """Let an untrained encoder answer with the labels' rates, so that training does not begin by finding them."""
        with torch.no_grad():
            self.bias.copy_(torch.logit(rates, eps=1e-3))
