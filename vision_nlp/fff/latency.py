"""Trees and dense networks as graphs that can be timed, exported alike."""

from pathlib import Path

from torch import nn

from common.export.latency import Run, save
from contracts.tensors import Signature
from contracts.vision_nlp import fff_signature
from vision_nlp.fff.hard import HardFFF
from vision_nlp.fff.model import FFF


def dense_signature(inputs: int, outputs: int) -> Signature:
    """Of a dense network: as the tree's, without what only a tree can say."""
    tree = fff_signature(inputs, outputs)
    return Signature(inputs=tree.inputs, outputs=tree.outputs[:1])


def serve_tree(model: FFF, path: Path) -> Run:
    """The graph that ``kithara export fff`` would publish of this network."""
    _, _, inputs = model.w1.shape
    return save(HardFFF(model.weights()), fff_signature(inputs, model.b2.shape[1]), path)


def serve_dense(network: nn.Sequential, path: Path) -> Run:
    """One hidden layer, exported as the tree is."""
    first, last = network[0], network[-1]
    if not isinstance(first, nn.Linear) or not isinstance(last, nn.Linear):
        raise TypeError("a dense network begins and ends with a linear layer")
    return save(network, dense_signature(first.in_features, last.out_features), path)
