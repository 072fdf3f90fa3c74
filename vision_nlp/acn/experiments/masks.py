"""Unstructured pruning of the weights of all linear layers within the blocks, compared over all of them."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from vision_nlp.acn.experiments.learning import Hooks
from vision_nlp.acn.wiring import AutoCompressing

Score = Literal["magnitude", "movement"]


class Masks:
    """Which weights are left; the others are zero and stay so."""

    def __init__(self, model: AutoCompressing, score: Score) -> None:
        self._weights = [m.weight for m in model.blocks.modules() if isinstance(m, nn.Linear)]
        self._kept = [torch.ones_like(w, dtype=torch.bool) for w in self._weights]
        self._score = score
        self._moved = [torch.zeros_like(w) for w in self._weights]

    @property
    def hooks(self) -> Hooks:
        return Hooks(gradients=self._observe, stepped=self._hold)

    def prune(self, share: float) -> None:
        """Remove ``share`` of the weights that are left: those of lowest score."""
        scores = self._scores()
        left = torch.cat([s[k] for s, k in zip(scores, self._kept, strict=True)])
        order = left.argsort(stable=True)
        gone = torch.zeros_like(left, dtype=torch.bool)
        gone[order[: round(share * len(left))]] = True
        for kept, part in zip(self._kept, gone.split([int(k.sum()) for k in self._kept]), strict=True):
            kept[kept.clone()] = ~part
        self._moved = [torch.zeros_like(w) for w in self._weights]
        self._hold()

    def sparsity(self) -> float:
        """Share of the weights that are gone."""
        return 1 - sum(int(k.sum()) for k in self._kept) / sum(k.numel() for k in self._kept)

    def _scores(self) -> Sequence[Tensor]:
        return [w.detach().abs() for w in self._weights] if self._score == "magnitude" else self._moved

    def _observe(self) -> None:
        # Movement as arXiv 2506.09714 takes it: |w * gradient|, summed over the steps since the last pruning
        for moved, weight in zip(self._moved, self._weights, strict=True):
            if weight.grad is not None:
                moved += (weight.detach() * weight.grad).abs()

    @torch.no_grad()
    def _hold(self) -> None:
        for weight, kept in zip(self._weights, self._kept, strict=True):
            weight *= kept
