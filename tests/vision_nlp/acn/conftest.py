"""Small networks of every backbone, with their inputs.

Shapes in annotations are checked while these tests run, unless another test has imported the modules before.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from jaxtyping import install_import_hook
from torch import Tensor

CHECKED = (
    "vision_nlp.acn.augment",
    "vision_nlp.acn.backbones.encoder",
    "vision_nlp.acn.backbones.mixer",
    "vision_nlp.acn.backbones.mlp",
    "vision_nlp.acn.backbones.parts",
    "vision_nlp.acn.backbones.vit",
    "vision_nlp.acn.losses",
    "vision_nlp.acn.wiring",
)

with install_import_hook(CHECKED, "beartype.beartype"):
    from vision_nlp.acn.backbones.encoder import build_encoder
    from vision_nlp.acn.config import Model
    from vision_nlp.acn.model import build
    from vision_nlp.acn.wiring import AutoCompressing

IMAGE, CLASSES = (3, 4, 8), 5
VOCABULARY, LONGEST = 11, 6
PICTURES: dict[str, dict[str, Any]] = {
    "mlp": {"backbone": "mlp"},
    "mixer": {"backbone": "mixer", "token_width": 7},
    "mixer with tail": {"backbone": "mixer", "token_width": 7, "tail_skip": True},
    "vit": {"backbone": "vit", "heads": 2},
    "deep vit": {"backbone": "vit", "heads": 2, "attn_out_norm": True, "dirac_ffn": True},
}

Network = Callable[..., AutoCompressing]
Inputs = Callable[..., tuple[Tensor, ...]]


@pytest.fixture(scope="session")
def network() -> Network:
    """``network(backbone, mode, layers, **settings)``: seeded, in eval mode, with every parameter moved off its start,
    so that no bias of 0 and no gain of 1 hides what it does."""

    def make(backbone: str, mode: Any = "acn", layers: int = 3, **settings: Any) -> AutoCompressing:
        torch.manual_seed(layers)
        if backbone == "encoder":
            plain = {"width": 12, "heads": 2, "dropout": 0.1, "residual_weight": None}
            config = SimpleNamespace(mode=mode, layers=layers, **(plain | settings))
            net = build_encoder(config, VOCABULARY, LONGEST, CLASSES)
        else:
            plain = {"layers": layers, "width": 12, "patch": 2, "channel_width": 24, "dropout": 0.1}
            net = build(Model(mode=mode, **(plain | PICTURES[backbone] | settings)), IMAGE, CLASSES)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        return net.eval()

    return make


@pytest.fixture(scope="session")
def inputs() -> Inputs:
    """``inputs(backbone, batch)``: what that network takes."""

    def make(backbone: str, batch: int = 4) -> tuple[Tensor, ...]:
        g = torch.Generator().manual_seed(batch)
        if backbone != "encoder":
            return (torch.randn(batch, IMAGE[0] * IMAGE[1] * IMAGE[2], generator=g),)
        ids = torch.randint(VOCABULARY, (batch, LONGEST), generator=g)
        lengths = torch.randint(1, LONGEST + 1, (batch,), generator=g)
        return ids, torch.arange(LONGEST) < lengths[:, None]

    return make
