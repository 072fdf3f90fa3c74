"""Depth and early exit over served stages, against the same network in numpy."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy as scipy_entropy

from common.errors import BackendFault, Invalid, NotReady
from common.registry.layout import Version
from common.registry.store import Repository
from common.runtime.base import Arrays, Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from contracts.models import ModelCard, Stage
from contracts.vision_nlp import ClassifyOptions
from vision_nlp.exits import Exit, Exits, require

NAME = "acn-toy"
DEPTHS = (1, 2, 4)


@asynccontextmanager
async def serving(root: Path, backend: Any = None, names: list[str] | None = None) -> AsyncIterator[Models]:
    models = Models(Repository(root), backend or LocalBackend(threads=1, device="cpu"), names=names)
    await models.start()
    try:
        yield models
    finally:
        await models.stop(drain=0.0)


@pytest.fixture
async def models(toy_root: Path) -> AsyncIterator[Models]:
    async with serving(toy_root) as models:
        yield models


def card_of(models: Models) -> ModelCard:
    return models.served(NAME).card


def by_hand(logits: np.ndarray, threshold: float) -> list[int]:
    """Depth of each row, one row at a time."""
    found = []
    for row in range(logits.shape[1]):
        certain = [d for d in DEPTHS if scipy_entropy(softmax(logits[d, row])) < threshold]
        found.append(certain[0] if certain else DEPTHS[-1])
    return found


def agree(left: Exit, logits: np.ndarray, depths: list[int]) -> None:
    expected = np.stack([logits[depth, row] for row, depth in enumerate(depths)])
    assert left.depth.tolist() == depths
    np.testing.assert_allclose(left.logits, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(left.entropy, scipy_entropy(softmax(expected, axis=1), axis=1), atol=1e-4)


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("depth", DEPTHS)
async def test_at_a_depth_every_row_is_that_sub_network(models: Models, toy: Any, depth: int, rows: int) -> None:
    pixels = toy.pixels(rows, seed=rows)
    left = await Exits(models).at_depth(card_of(models), pixels, depth, Call())
    agree(left, toy.all(pixels), [depth] * rows)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.9, 1.2, 1.4])
async def test_each_row_leaves_at_its_first_certain_stage(models: Models, toy: Any, threshold: float) -> None:
    pixels = toy.pixels(40, seed=3)
    logits = toy.all(pixels)
    left = await Exits(models).until(card_of(models), pixels, threshold, Call())
    agree(left, logits, by_hand(logits, threshold))
    if threshold == 0.5:
        assert set(left.depth.tolist()) == set(DEPTHS)  # else the test above shows nothing


async def test_less_than_the_threshold_leaves_and_as_much_stays(models: Models, toy: Any) -> None:
    exits, card, pixels = Exits(models), card_of(models), toy.pixels(1, seed=2)
    (first,) = (await exits.at_depth(card, pixels, 1, Call())).entropy
    assert (await exits.until(card, pixels, first, Call())).depth[0] > 1
    assert (await exits.until(card, pixels, np.nextafter(first, np.inf), Call())).depth[0] == 1


async def test_a_row_leaves_as_it_does_alone(models: Models, toy: Any) -> None:
    exits, card, pixels = Exits(models), card_of(models), toy.pixels(12, seed=8)
    together = await exits.until(card, pixels, 0.5, Call())
    for row in range(len(pixels)):
        alone = await exits.until(card, pixels[[row]], 0.5, Call())
        assert alone.depth[0] == together.depth[row]
        np.testing.assert_allclose(alone.logits[0], together.logits[row], atol=1e-6)


async def test_only_the_uncertain_rows_go_on(models: Models, toy: Any) -> None:
    pixels = toy.pixels(40, seed=3)
    depths = np.array(by_hand(toy.all(pixels), 0.5))
    before = models.stats()
    await Exits(models).until(card_of(models), pixels, 0.5, Call())
    after = models.stats()
    ran = {label: after[label].rows - before[label].rows for label in after}
    assert ran == {f"{NAME}@1": 0, **{f"{NAME}-to-{d}@1": int((depths > d - 1).sum()) for d in (1, 2)}} | {
        f"{NAME}-to-4@1": int((depths > 2).sum())
    }


async def test_concurrent_requests_share_executions(toy: Any, toy_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.runtime.local.INLINE_SECONDS", 0.0)  # so small a graph would run in the event loop
    pixels = toy.pixels(24, seed=5)
    logits = toy.all(pixels)
    async with serving(toy_root) as models:
        card, exits = card_of(models), Exits(models)
        before = models.stats()
        answers = await asyncio.gather(*(exits.until(card, row[None], 0.5, Call()) for row in pixels))
        after = models.stats()
    for row, (answer, depth) in enumerate(zip(answers, by_hand(logits, 0.5), strict=True)):
        agree(answer, logits[:, [row]], [depth])
    first = f"{NAME}-to-1@1"
    assert after[first].rows - before[first].rows == 24
    assert after[first].batches - before[first].batches <= 12


class Watching:
    """A back end whose engines call ``seen`` before they run, and say that each run took 2 s after waiting 1 s."""

    def __init__(self, seen: Callable[[str], Any]) -> None:
        self._inner, self.seen = LocalBackend(threads=1, device="cpu"), seen

    async def open(self, version: Version) -> "WatchingEngine":
        return WatchingEngine(await self._inner.open(version), version.label, self)

    async def close(self) -> None:
        await self._inner.close()


class WatchingEngine:
    def __init__(self, inner: Any, label: str, backend: Watching) -> None:
        self.signature, self._inner, self._label, self._backend = inner.signature, inner, label, backend

    async def infer(self, inputs: Arrays, call: Call) -> dict[str, np.ndarray]:
        await self._backend.seen(self._label)
        outputs = await self._inner.infer(inputs, Call())
        call.timing.queue, call.timing.infer = 1.0, 2.0
        return outputs

    async def close(self) -> None:
        await self._inner.close()


async def nothing(_: str) -> None:
    """For engines that are not watched."""


async def test_the_times_of_the_stages_add_up(toy: Any, toy_root: Path) -> None:
    async with serving(toy_root, Watching(nothing)) as models:
        call = Call()
        await Exits(models).at_depth(card_of(models), toy.pixels(1), 4, call)
        assert (call.timing.queue, call.timing.infer) == (3.0, 6.0)


async def test_a_reload_on_the_way_does_not_mix_two_networks(toy: Any, other_toy: Any, tmp_path: Path) -> None:
    toy.publish(tmp_path)
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def pause(label: str) -> None:
        if label == f"{NAME}-to-2@1" and serving_now.is_set():
            reached.set()
            await go_on.wait()

    serving_now = asyncio.Event()
    pixels = toy.pixels(5)
    async with serving(tmp_path, Watching(pause)) as models:
        serving_now.set()
        task = asyncio.create_task(Exits(models).at_depth(card_of(models), pixels, 4, Call()))
        await reached.wait()
        other_toy.publish(tmp_path)
        for name in (*(f"{NAME}-to-{d}" for d in DEPTHS), NAME):
            assert (await models.reload(name)).version == 2
        go_on.set()
        agree(await task, toy.all(pixels), [4] * 5)
        new = await Exits(models).at_depth(card_of(models), pixels, 4, Call())
        agree(new, other_toy.all(pixels), [4] * 5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth": 3}, "depth: 'acn-toy' answers after 1, 2, 4 blocks, not after 3"),
        ({"depth": 5}, "1, 2, 4"),
        ({"depth": 2, "exit_entropy": 0.5}, "exit_entropy: given together with depth"),
    ],
)
def test_what_cannot_be_asked_is_said(toy_root: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        require(Repository(toy_root).load(NAME, 1).card, ClassifyOptions(**options))


@pytest.mark.parametrize("options", [{"depth": 2}, {"exit_entropy": 0.5}])
def test_a_model_without_stages_says_so(toy_root: Path, options: dict[str, Any]) -> None:
    plain = Repository(toy_root).load(f"{NAME}-to-1", 1).card
    with pytest.raises(Invalid, match=f"{next(iter(options))}: 'acn-toy-to-1' has no stages"):
        require(plain, ClassifyOptions(**options))
    require(plain, ClassifyOptions())


async def test_a_depth_that_is_none_runs_nothing(models: Models, toy: Any) -> None:
    with pytest.raises(Invalid, match="1, 2, 4"):
        await Exits(models).at_depth(card_of(models), toy.pixels(1), 0, Call())


async def test_a_stage_that_is_not_served_is_named_with_the_remedy(toy: Any, toy_root: Path) -> None:
    async with serving(toy_root, names=[NAME, f"{NAME}-to-1", f"{NAME}-to-4"]) as models:
        exits, card = Exits(models), card_of(models)
        with pytest.raises(NotReady, match=r"acn-toy-to-2@1 of acn-toy@1 is not served.*kithara models alias"):
            await exits.until(card, toy.pixels(1), 0.5, Call())
        assert (await exits.at_depth(card, toy.pixels(1), 1, Call())).depth.tolist() == [1]


async def test_an_alias_keeps_the_stages_of_an_older_version_open(toy: Any, other_toy: Any, tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    toy.publish(tmp_path)
    other_toy.publish(tmp_path)
    repository.set_alias(NAME, "stable", 1)
    pixels = toy.pixels(2)
    async with serving(tmp_path) as models:
        card = models.served(f"{NAME}@stable").card
        with pytest.raises(NotReady, match=r"kithara models alias acn-toy-to-1 ALIAS 1"):
            await Exits(models).at_depth(card, pixels, 1, Call())
        repository.set_alias(f"{NAME}-to-1", "stable", 1)
        await models.reload(f"{NAME}-to-1")
        agree(await Exits(models).at_depth(card, pixels, 1, Call()), toy.all(pixels), [1, 1])


async def test_a_card_that_names_the_wrong_pieces_is_refused(toy: Any, tmp_path: Path) -> None:
    def stage(model: str, depth: int) -> Stage:
        return Stage(model=model, version=1, depth=depth)

    headless, whole = (stage(f"{NAME}-to-2", 2), stage(f"{NAME}-to-4", 4)), (stage(NAME, 4),)
    toy.publish(tmp_path)
    async with serving(tmp_path) as models:
        for stages in (headless, whole):
            broken = msgspec.structs.replace(card_of(models), stages=stages)
            with pytest.raises(NotReady, match=f"stage {stages[0].model}@1 .*go on where"):
                await Exits(models).until(broken, toy.pixels(1), 0.5, Call())


async def test_numbers_that_are_not_finite(models: Models, toy: Any) -> None:
    pixels = toy.pixels(2)
    pixels[1, 3] = np.nan
    with pytest.raises(Invalid, match="NaN or infinity"):
        await Exits(models).until(card_of(models), pixels, 0.5, Call())
    pixels[1] = 3e38
    with pytest.raises(BackendFault, match=r"acn-toy-to-1@1 answered with numbers that are not finite"):
        await Exits(models).until(card_of(models), pixels, 0.5, Call())
