"""A small laboratory on the bundled digits; shapes in annotations are checked while these tests run."""

from collections.abc import Callable

import pytest
import torch
from jaxtyping import install_import_hook

from common.data.images import load_images

CHECKED = ("vision_nlp.acn.experiments.branches", "vision_nlp.acn.experiments.learning")

with install_import_hook(CHECKED, "beartype.beartype"):
    from vision_nlp.acn.experiments.lab import Lab, Scale

SMALL = Scale(seeds=2, layers=3, shallow=1, width=8, epochs=2, rows=150, each=3, task=1, tune=1, draws=2)


@pytest.fixture(scope="session")
def lab() -> Lab:
    """Shared: what it trains, it trains once."""
    return Lab(load_images("digits", None), SMALL)


@pytest.fixture
def new_lab() -> Callable[..., Lab]:
    """``new_lab(layers=4)``: one of its own, at another scale."""
    return lambda **changes: Lab(load_images("digits", None), SMALL._replace(**changes))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
