"""From the settings to the network: one factory for each backbone over pictures."""

import math
from collections.abc import Callable

from torch import nn

from vision_nlp.acn.backbones.mixer import MixerBlock
from vision_nlp.acn.backbones.mlp import MlpBlock, Whole
from vision_nlp.acn.backbones.parts import Patches
from vision_nlp.acn.backbones.vit import VitBlock
from vision_nlp.acn.config import Model
from vision_nlp.acn.wiring import AutoCompressing, Pool, first, has_skips, mean

Image = tuple[int, int, int]
"""channels, height, width"""


def build(config: Model, image: Image, classes: int) -> AutoCompressing:
    """A network over float32 (batch, height * width * channels), initialised from torch's random state.

    Raises ValueError for a picture that cannot be cut into patches.
    """
    embed, block, pool = _BACKBONES[config.backbone](config, image)
    return AutoCompressing(
        [block() for _ in range(config.layers)],
        embed,
        nn.LayerNorm(config.width),
        nn.Linear(config.width, classes),
        pool,
        config.mode,
        config.residual_weight,
        residual_learnt=config.residual_learnt,
    )


Parts = tuple[nn.Module, Callable[[], nn.Module], Pool]
"""The embedding, what makes one more block, and what the head reads of the tokens."""


def _mlp(c: Model, image: Image) -> Parts:
    embed = Whole(math.prod(image), c.width)
    return embed, lambda: MlpBlock(c.width, c.channel_width, c.dropout, skips=has_skips(c.mode)), first


def _mixer(c: Model, image: Image) -> Parts:
    embed = Patches(image, c.patch, c.width, positions=False)

    def block() -> nn.Module:
        return MixerBlock(
            embed.tokens,
            c.width,
            c.token_width,
            c.channel_width,
            c.dropout,
            skips=has_skips(c.mode),
            tail_skip=c.tail_skip,
        )

    return embed, block, first


def _vit(c: Model, image: Image) -> Parts:
    embed = Patches(image, c.patch, c.width, positions=True)

    def block() -> nn.Module:
        return VitBlock(
            c.width,
            c.channel_width,
            c.heads,
            c.dropout,
            skips=has_skips(c.mode),
            attn_out_norm=c.attn_out_norm,
            dirac_ffn=c.dirac_ffn,
        )

    # The released code averages all tokens, the class token too.
    return embed, block, mean


_BACKBONES: dict[str, Callable[[Model, Image], Parts]] = {"mlp": _mlp, "mixer": _mixer, "vit": _vit}
