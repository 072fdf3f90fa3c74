"""Classifiers of their own after some blocks (BranchyNet style), trained together with the network."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from vision_nlp.acn.experiments.learning import CHUNK, smoothed
from vision_nlp.acn.wiring import AutoCompressing
from vision_nlp.pictures import Rows

PLACES = ((0.25, 0.8), (0.5, 0.6), (0.75, 0.4))
"""Share of the depth, and weight of the loss (appendix H: layers 4, 8 and 12 of 16)."""


class Branched(nn.Module):
    """A network with a norm and a head of its own at each branch; its last exit is the network itself."""

    def __init__(self, net: AutoCompressing, width: int, classes: int) -> None:
        super().__init__()
        self.net = net
        weights = self.places(net.depth)
        self.exits = (*sorted(weights), net.depth)
        """Depths, rising."""
        self.weights = (*(weights[depth] for depth in self.exits[:-1]), 1.0)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes)) for _ in self.exits[:-1]
        )

    @staticmethod
    def places(depth: int) -> dict[int, float]:
        """Depth of each branch to the weight of its loss."""
        return {max(1, round(share * depth)): weight for share, weight in PLACES if round(share * depth) < depth}

    def forward(self, x: Float[Tensor, "batch pixels"]) -> Float[Tensor, "exits batch classes"]:
        state, told = self.net.begin(x), []
        branches = dict(zip(self.exits, self.branches, strict=False))
        for i in range(1, self.net.depth + 1):
            state = self.net.advance(state, i)
            if i in branches:
                told.append(branches[i](self.net.pool(state.y)))
        return torch.stack([*told, self.net.read(state)])

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([w * smoothed(z, y) for w, z in zip(self.weights, self(x), strict=True)]).sum()

    @torch.no_grad()
    def answers(self, rows: Rows) -> np.ndarray:
        """Logits at every exit, float32 (exits, n, classes)."""
        self.eval()
        return torch.cat([self(x) for x in rows.x.split(CHUNK)], 1).numpy()
