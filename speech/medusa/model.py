"""DeepSER (arXiv 2506.09556, Algorithms 1 and 2) for any number of streams, with padding masks everywhere.

There is no fusion token and no cross-attention: streams are fused by self-attention over their joined sequences.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from speech.medusa.config import HIGH, LOW, Model
from speech.medusa.mixup import Mix


class Padded(NamedTuple):
    """Sequences of different length, filled up to the longest."""

    x: Float[Tensor, "batch frames dim"]
    mask: Bool[Tensor, "batch frames"]
    """True where a frame lies; at least one in every row. What lies elsewhere has no influence on anything."""


class Judged(NamedTuple):
    logits: Float[Tensor, "batch classes"]
    attributes: Float[Tensor, "batch attributes"]
    """Arousal, valence, dominance, each in [1, 7]; NaN from a member that does not learn them."""
    embedding: Float[Tensor, "batch width"]
    """s = ReLU(x), what the heads read."""


class Encoded(NamedTuple):
    """What ENC returns (Algorithm 1)."""

    h1: Float[Tensor, "batch frames width"]
    h2: Float[Tensor, "batch frames width"]
    h3: Float[Tensor, "batch width"]


class TransformerLayer(nn.Module):
    """Post-norm encoder layer: one head by default, ReLU, no positional encoding (released code)."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        width, self.heads, self.dropout = config.width, config.heads, config.attention_dropout
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)
        self.widen = nn.Linear(width, config.feed_forward)
        self.narrow = nn.Linear(config.feed_forward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.drop = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "batch frames width"], mask: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch frames width"]:
        x = self.norm1(x + self.drop(self.attend(x, mask)))
        return self.norm2(x + self.drop(self.narrow(self.drop(F.relu(self.widen(x))))))

    def attend(
        self, x: Float[Tensor, "batch frames width"], mask: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch frames width"]:
        """softmax(Q K^T / sqrt(d)) V over the frames that the mask allows."""
        q, k, v = rearrange(self.project_in(x), "b l (three h d) -> three b h l d", three=3, h=self.heads).unbind(0)
        heard = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask[:, None, None, :], dropout_p=self.dropout if self.training else 0.0
        )
        return self.project_out(rearrange(heard, "b h l d -> b l (h d)"))


class Encoder(nn.Module):
    """ENC (Algorithm 1): W2 ReLU(W1 x), two transformer layers, the mean over time."""

    def __init__(self, dim: int, config: Model) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(dim, config.width), nn.ReLU(), nn.Linear(config.width, config.width))
        self.layer1, self.layer2 = TransformerLayer(config), TransformerLayer(config)

    def forward(self, x: Float[Tensor, "batch frames dim"], mask: Bool[Tensor, "batch frames"]) -> Encoded:
        h1 = self.layer1(self.project(x), mask)
        h2 = self.layer2(h1, mask)
        return Encoded(h1, h2, masked_mean(h2, mask))


class DeepSER(nn.Module):
    """One member: streams -> logits, attributes, embedding.

    ``dims`` holds the features of each stream as given; a stream in ``stems`` first passes its stem, a module
    Padded -> Padded that is trained with the member and says in ``dim`` how many features it returns.
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        classes: int,
        config: Model,
        judged: bool,
        stems: Mapping[str, nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.streams, self.judged, self.attributes = tuple(dims), judged, 3
        self.stems = nn.ModuleDict(dict(stems or {}))
        inner = {name: int(getattr(self.stems[name], "dim")) if name in self.stems else dims[name] for name in dims}  # noqa: B009
        self.encoders = nn.ModuleDict({name: Encoder(dim, config) for name, dim in inner.items()})
        self.join = nn.Linear(self.build_fusion(config) * config.width, config.width)
        self.emotion = nn.Linear(config.width, classes)
        self.attribute = nn.Linear(config.width, self.attributes) if judged else None

    def build_fusion(self, config: Model) -> int:
        """Make what fuses the streams; returns the number of vectors that W joins."""
        self.fusion1, self.fusion2 = Encoder(config.width, config), Encoder(config.width, config)
        return len(self.streams) + 1

    def forward(self, streams: Mapping[str, Padded], mix: Mix | None = None) -> Judged:
        """``streams`` must hold all of ``self.streams``. Raises ValueError for ``mix`` outside training."""
        if mix is not None and not self.training:
            raise ValueError("MixUp belongs to training")
        heard, masks = self.encode(streams)
        # Algorithm 2: x = W [h3 of every stream || f2_3]
        x = self.join(torch.cat(self.fuse(heard, masks), 1))
        # Manifold MixUp: after W, before ReLU and the heads
        s = F.relu(x if mix is None else mix.apply(x))
        return Judged(self.emotion(s), self.attribute_head(s), s)

    def encode(self, streams: Mapping[str, Padded]) -> tuple[list[Encoded], list[Tensor]]:
        """Every stream through its stem and its own ENC, and the masks behind the stems."""
        heard, masks = [], []
        for name in self.streams:
            padded = self.stems[name](streams[name]) if name in self.stems else streams[name]
            heard.append(self.encoders[name](padded.x, padded.mask))
            masks.append(padded.mask)
        return heard, masks

    def fuse(self, heard: Sequence[Encoded], masks: Sequence[Tensor]) -> list[Float[Tensor, "batch width"]]:
        """h3 of every stream, and f2_3 of the second fusion encoder, which sees 2 * sum(L) positions."""
        mask = torch.cat(list(masks), 1)
        f1 = self.fusion1(torch.cat([h.h1 for h in heard], 1), mask).h2
        f2 = self.fusion2(torch.cat([*(h.h2 for h in heard), f1], 1), torch.cat([mask, mask], 1))
        return [*(h.h3 for h in heard), f2.h3]

    def attribute_head(self, s: Float[Tensor, "batch width"]) -> Float[Tensor, "batch attributes"]:
        """1 + 6 sigmoid(W_r s)."""
        if self.attribute is None:
            return s.new_full((s.shape[0], self.attributes), float("nan"))  # len() would fix the exported batch
        return LOW + (HIGH - LOW) * torch.sigmoid(self.attribute(s))


class LateFusion(DeepSER):
    """For comparison: every stream's own encoder, joined at their means alone (Table 2, "late fusion")."""

    def build_fusion(self, config: Model) -> int:
        return len(self.streams)

    def fuse(self, heard: Sequence[Encoded], masks: Sequence[Tensor]) -> list[Float[Tensor, "batch width"]]:
        return [h.h3 for h in heard]


FUSIONS = {"deep": DeepSER, "late": LateFusion}


def masked_mean(
    x: Float[Tensor, "batch frames width"], mask: Bool[Tensor, "batch frames"]
) -> Float[Tensor, "batch width"]:
    """Over the frames that are there."""
    return x.masked_fill(~mask[..., None], 0.0).sum(1) / mask.sum(1, keepdim=True)
