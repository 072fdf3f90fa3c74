from typing import Any

import msgspec
import numpy as np
import pytest

from common.errors import NotReady
from common.registry.golden import read_golden
from common.runtime.fake import FakeBackend
from common.runtime.proof import prove


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda y: y + np.float32(2e-4), r"golden output 'y' differs by 2.0e-04 \(at most 1.0e-04\)"),
        (lambda y: y.astype(np.float64), r"golden output 'y' is float64 \[2, 3\] instead of float32 \[2, 3\]"),
        (lambda y: y[:1], r"is float32 \[1, 3\]"),
        (lambda y: np.full_like(y, np.nan), "differs by nan"),
    ],
)
async def test_a_difference_is_named(publish: Any, change: Any, says: str) -> None:
    version = publish("mlp")
    inputs, golden = read_golden(version.golden)
    engine = await FakeBackend(lambda _: {"y": change(golden["y"])}).open(version)
    with pytest.raises(NotReady, match=says):
        await prove(engine, inputs, golden, version.card)


async def test_the_cards_tolerance_decides(publish: Any) -> None:
    version = publish("mlp")
    inputs, golden = read_golden(version.golden)
    engine = await FakeBackend(lambda _: {"y": golden["y"] + np.float32(0.01)}).open(version)
    await prove(engine, inputs, golden, msgspec.structs.replace(version.card, golden_tolerance=0.02))
