"""The conditions of the claims: every variant of every tree shape, and the dense networks beside them."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from common.claims.harness import Condition
from common.export.latency import Run, quantised
from vision_nlp.fff.config import Model, Phases
from vision_nlp.fff.latency import serve_dense, serve_tree
from vision_nlp.fff.pareto import WIDTHS
from vision_nlp.fff.statements import BALANCED, EQUAL_MAC, MASTER, PLAIN, TUNED, arm, dense
from vision_nlp.fff.study import (
    Scale,
    Values,
    dense_values,
    equal_mac_width,
    three_phases,
    train_dense,
    train_tree,
    two_phases,
)
from vision_nlp.pictures import Splits

FIRST = 0
"""The seed whose networks become graphs."""


class Arms:
    """All with the same number of epochs. A condition trains and measures one network when it is called with a seed."""

    def __init__(self, scale: Scale, splits: dict[int, Splits], folder: Path) -> None:
        self.graphs: dict[str, Run] = {}
        """Filled while the first seed runs; the files lie in ``folder``."""
        self._scale, self._splits, self._folder = scale, splits, folder
        # A dense network serves several comparisons and is trained once.
        self._network = cache(self._train_dense)

    def conditions(self) -> dict[str, Condition]:
        """By name, the dense networks first."""
        shapes, some = self._scale.shapes, next(iter(self._splits.values()))
        widths = {*WIDTHS, *(s.leaf_width << s.depth for s in shapes), *(equal_mac_width(s, some) for s in shapes)}
        found = {dense(width): self._dense(width) for width in sorted(widths)}
        found[f"{dense(WIDTHS[-1])} int8"] = self._int8
        for shape in shapes:
            found |= self._trees(shape)
        return found

    def _trees(self, shape: Model) -> dict[str, Condition]:
        epochs, alone = self._scale.epochs, replace(shape, master_width=0)
        plain, balanced = two_phases(epochs, 0.0), two_phases(epochs, 1.0)
        return {
            arm(shape, PLAIN): self._tree(arm(shape, PLAIN), alone, plain),
            arm(shape, BALANCED): self._tree(arm(shape, BALANCED), alone, balanced),
            arm(shape, MASTER): self._tree(arm(shape, MASTER), shape, balanced),
            arm(shape, TUNED): self._tuned(shape),
        }

    def _tree(self, name: str, model: Model, schedule: Phases) -> Condition:
        def condition(seed: int) -> Values:
            tree, values = train_tree(model, schedule, self._splits[seed], self._scale.batch, seed)
            if seed == FIRST:
                self.graphs[name] = serve_tree(tree, self._path())
            return values

        return condition

    def _tuned(self, shape: Model) -> Condition:
        tree = self._tree(arm(shape, TUNED), shape, three_phases(self._scale.epochs, 1.0))

        def condition(seed: int) -> Values:
            _, rival = self._network(equal_mac_width(shape, self._splits[seed]), seed)
            return {**tree(seed), EQUAL_MAC: rival["test_hard"]}

        return condition

    def _dense(self, width: int) -> Condition:
        def condition(seed: int) -> Values:
            network, values = self._network(width, seed)
            if seed == FIRST:
                self.graphs[dense(width)] = serve_dense(network, self._path())
            return values

        return condition

    def _int8(self, seed: int) -> Values:
        """The widest dense network after quantisation; measured as it would be served."""
        network, _ = self._network(WIDTHS[-1], seed)
        path = self._path()
        serve_dense(network, path)
        run = quantised(path)
        if seed == FIRST:
            self.graphs[f"{dense(WIDTHS[-1])} int8"] = run

        def logits(x: Tensor) -> Tensor:
            # Row by row, as the scale of the activations is that of a whole call.
            return torch.from_numpy(np.concatenate([run(row) for row in x.numpy()[:, None]]))

        return dense_values(logits, self._splits[seed], WIDTHS[-1])

    def _train_dense(self, width: int, seed: int) -> tuple[nn.Sequential, Values]:
        return train_dense(width, self._scale.epochs, self._splits[seed], self._scale.batch, seed)

    def _path(self) -> Path:
        """A new file, so that a graph is never written over one that is open."""
        return self._folder / f"{sum(1 for _ in self._folder.iterdir())}.onnx"
