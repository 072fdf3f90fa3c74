"""A staged network behind the real server: depth and early exit answer as they do on the local back end."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from common.runtime.remote import TritonBackend
from deploy.triton.server import Server
from vision_nlp.exits import Exit, Exits

NAMES = ("steps", "steps-to-1", "steps-to-3")


@pytest.fixture
async def both(repository: Repository, shared: Server) -> AsyncIterator[tuple[Models, Models]]:
    """On the server, and here."""
    there = Models(repository, TritonBackend(shared.address), names=NAMES)
    here = Models(repository, LocalBackend(threads=1, device="cpu"), names=NAMES)
    await there.start()
    await here.start()
    yield there, here
    await there.stop(drain=0.0)
    await here.stop(drain=0.0)


def pixels(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, 8)).astype(np.float32)


def same(there: Exit, here: Exit) -> None:
    np.testing.assert_array_equal(there.depth, here.depth)
    np.testing.assert_allclose(there.logits, here.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(there.entropy, here.entropy, atol=1e-4)


@pytest.mark.parametrize("rows", [1, 17])
async def test_depth_and_exit_answer_as_here(both: tuple[Models, Models], rows: int) -> None:
    exits = [Exits(models) for models in both]
    card = both[0].served("steps").card
    for depth in (1, 3):
        same(*[await one.at_depth(card, pixels(rows), depth, Call()) for one in exits])
    for threshold in (0.0, 0.1, 0.4, 5.0):
        same(*[await one.until(card, pixels(rows), threshold, Call()) for one in exits])


async def test_rows_leave_at_both_stages(both: tuple[Models, Models]) -> None:
    card = both[0].served("steps").card
    left = await Exits(both[0]).until(card, pixels(17), 0.3, Call())
    assert set(left.depth.tolist()) == {1, 3}
    whole, _ = await both[0].infer("steps", {"pixels": pixels(17)}, Call())
    last = left.depth == 3
    np.testing.assert_allclose(left.logits[last], whole["logits"][last], rtol=1e-4, atol=1e-5)
