"""MLP-Mixer (arXiv 2105.01601) with a class token, in the block of the released ACN code and in a plain one."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class MixerBlock(nn.Module):
    """Mix over tokens, then over channels, each on normalised input; with ``skips`` each adds its own input.

    With ``tail_skip`` the block ends with LN(ReLU(Linear(g) + x)), x being the block's input: the released code has
    this in the auto-compressing and in the residual network alike, so that its residual network has no clean stream.
    """

    def __init__(
        self,
        tokens: int,
        width: int,
        token_width: int,
        channel_width: int,
        dropout: float,
        *,
        skips: bool,
        tail_skip: bool,
    ) -> None:
        super().__init__()
        self.skips = skips
        self.token_norm, self.channel_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.over_tokens = _mix(tokens, token_width, dropout)
        self.over_channels = _mix(width, channel_width, dropout)
        self.tail = nn.Linear(width, width) if tail_skip else None
        self.tail_norm = nn.LayerNorm(width) if tail_skip else None

    def forward(self, x: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch tokens width"]:
        """g = channels(LN(tokens(LN(x)))), and the tail if there is one."""
        mixed = self.over_tokens(self.token_norm(x).mT).mT
        mixed = x + mixed if self.skips else mixed
        g = self.over_channels(self.channel_norm(mixed))
        g = mixed + g if self.skips else g
        if self.tail is None or self.tail_norm is None:
            return g
        return self.tail_norm(F.relu(self.tail(g) + x))


def _mix(width: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width), nn.Dropout(dropout)
    )
