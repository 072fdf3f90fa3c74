"""Vision transformer block (arXiv 2010.11929) as the released ACN code has it, with its two options for deep ACN."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from vision_nlp.acn.backbones.parts import Attention


class VitBlock(nn.Module):
    """a = Drop(MHA(LN(x))), out = Drop(MLP(LN(a))); with ``skips`` the usual pre-norm block, x + ... and a + ...

    ``attn_out_norm``: a = Drop(LN(MHA(LN(x)))). The released code divides the attention's weights by sqrt(d) after the
    softmax; here the scores are, before it.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        heads: int,
        dropout: float,
        *,
        skips: bool,
        attn_out_norm: bool,
        dirac_ffn: bool,
    ) -> None:
        super().__init__()
        self.skips = skips
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.attention_norm = nn.LayerNorm(width) if attn_out_norm else nn.Identity()
        self.feed = Feed(width, hidden, dirac=dirac_ffn)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """Every token attends to every token."""
        a = self.dropout(self.attention_norm(self.attention(self.norm1(x))))
        a = x + a if self.skips else a
        out = self.dropout(self.feed(self.norm2(a)))
        return a + out if self.skips else out


class Feed(nn.Module):
    """W2 GELU(W1 x + b1) + b2; with ``dirac`` a fixed identity passes through the first ``width`` hidden units."""

    def __init__(self, width: int, hidden: int, *, dirac: bool) -> None:
        super().__init__()
        self.dirac, self.spare = dirac, hidden - width
        self.rise, self.fall = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Each token alone."""
        if not self.dirac:
            return self.fall(F.gelu(self.rise(x)))
        # Released code only: h = GELU(W1 x + b1 + [x; 0]), out = W2 h + b2 + h[:width]
        h = F.gelu(self.rise(x) + F.pad(x, (0, self.spare)))
        return self.fall(h) + h[..., : x.shape[-1]]
