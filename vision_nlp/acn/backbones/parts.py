"""What several backbones share: patches, attention, the feedforward part."""

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


class Patches(nn.Module):
    """Flattened pictures to tokens: a class token, then one token for each square of the picture."""

    def __init__(self, image: tuple[int, int, int], patch: int, width: int, *, positions: bool) -> None:
        """``image``: channels, height, width. Raises ValueError for a side that is no multiple of ``patch``."""
        super().__init__()
        self.channels, self.height, self.width = image
        if self.height % patch or self.width % patch:
            raise ValueError(f"{self.height} x {self.width} pixels are no multiple of patch {patch}")
        self.patch, self.tokens = patch, 1 + self.height * self.width // patch**2
        self.project = nn.Linear(self.channels * patch**2, width)
        # N(0, 1), as in the released code
        self.first = nn.Parameter(torch.randn(width))
        self.positions = nn.Parameter(torch.randn(self.tokens, width)) if positions else None

    def forward(self, pixels: Float[Tensor, "batch pixels"]) -> Float[Tensor, "batch tokens width"]:
        """``pixels`` in the order (height, width, channels), as ``vision_nlp.features.normalise`` gives them."""
        sides = {"h": self.height // self.patch, "w": self.width // self.patch, "p": self.patch, "q": self.patch}
        x = self.project(rearrange(pixels, "b (h p w q c) -> b (h w) (p q c)", **sides, c=self.channels))
        x = torch.cat([self.first.expand(x.shape[0], 1, -1), x], 1)
        return x if self.positions is None else x + self.positions


class Attention(nn.Module):
    """Multi-head self-attention; the scores are scaled before the softmax."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "batch tokens width"], seen: Bool[Tensor, "batch tokens"] | None = None
    ) -> Float[Tensor, "batch tokens width"]:
        """``seen``: the tokens that may be attended to; at least one in each row."""
        q, k, v = rearrange(self.qkv(x), "b t (n h d) -> n b h t d", n=3, h=self.heads).unbind(0)
        mask = None if seen is None else seen[:, None, None, :]
        return self.out(rearrange(F.scaled_dot_product_attention(q, k, v, mask), "b h t d -> b t (h d)"))
