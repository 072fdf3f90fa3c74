"""The encoder with both its heads."""

from typing import cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vision_nlp.acn.backbones.encoder import MaskedLanguageHead, Words, build_encoder
from vision_nlp.acn_text.config import Model


class Learner(nn.Module):
    """What is trained: the network that is published, and the head that only pre-training needs."""

    def __init__(self, config: Model, vocabulary: int, longest: int, labels: int) -> None:
        super().__init__()
        self.network = build_encoder(config, vocabulary, longest, labels)
        self.words = MaskedLanguageHead(vocabulary, config.width)

    @property
    def embed(self) -> Words:
        """The network's embedding of tokens and positions."""
        return cast(Words, self.network.embed)

    def masked_words(
        self, ids: Int[Tensor, "batch tokens"], mask: Bool[Tensor, "batch tokens"], chosen: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "chosen vocabulary"]:
        """Logits of the tokens at the chosen positions, read from the sum over the whole depth."""
        # Without the class token, which stands first.
        y = self.network.run(ids, mask).y[:, 1:][chosen]
        return self.words(y, self.embed.tokens.weight)

    def pretrained(self) -> list[nn.Parameter]:
        """What masked words train: everything but the label head."""
        rest = {id(parameter) for parameter in self.network.head.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in rest]

    def start_at(self, rates: Float[Tensor, "labels"]) -> None:
        """Let an untrained label head answer with about the labels' rates, so that training does not begin by finding
        them."""
        with torch.no_grad():
            last = cast(nn.Sequential, self.network.head)[-1]
            cast(nn.Linear, last).bias.copy_(torch.logit(rates, eps=1e-3))
