"""Masked words (arXiv 1810.04805, section 3.1, Masked LM) and word dropout: what training does to its inputs."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from common.text.features import UNKNOWN
from common.text.tokenizer import SPECIAL

REPLACED, RANDOM = 0.8, 0.1
"""Shares of the chosen tokens that become the unknown one and any other one; the rest stay as they are."""


class Hidden(NamedTuple):
    ids: Int[Tensor, "batch tokens"]
    """What the network sees."""
    chosen: Bool[Tensor, "batch tokens"]
    """Where it is asked for the token that stood there."""


def hide(
    ids: Int[Tensor, "batch tokens"],
    mask: Bool[Tensor, "batch tokens"],
    share: float,
    vocabulary: int,
    generator: torch.Generator | None = None,
) -> Hidden:
    """Choose ``share`` of each text's tokens, at least one.

    The unknown token does the work of BERT's [MASK]: bytes are always known, so no text holds it.
    """
    rand = {"generator": generator, "device": ids.device}
    order = torch.rand(ids.shape, **rand).masked_fill(~mask, 2.0).argsort(1).argsort(1)
    chosen = order < (share * mask.sum(1, keepdim=True)).round().clamp(min=1)
    draw = torch.rand(ids.shape, **rand)
    other = torch.randint(len(SPECIAL), vocabulary, ids.shape, **rand)
    seen = torch.where(draw < REPLACED, UNKNOWN, torch.where(draw < REPLACED + RANDOM, other, ids))
    return Hidden(torch.where(chosen, seen, ids), chosen)


def drop_words(ids: Int[Tensor, "batch tokens"], share: float) -> Int[Tensor, "batch tokens"]:
    """Each token becomes the unknown one with probability ``share``."""
    return torch.where(torch.rand(ids.shape, device=ids.device) < share, UNKNOWN, ids)
