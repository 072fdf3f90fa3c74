"""The same repository, the same answers: on a real Triton server and in this process."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest

from common.errors import BackendFault, NotReady
from common.registry.store import Repository
from common.runtime.base import Call, Engine
from common.runtime.local import LocalBackend
from common.runtime.remote import TritonBackend

Arrays = dict[str, np.ndarray]


@pytest.fixture
async def local() -> AsyncIterator[LocalBackend]:
    backend = LocalBackend(threads=1, device="cpu")
    yield backend
    await backend.close()


def many(inputs: Arrays, number: int) -> Arrays:
    """``number`` different rows, of the values of the first."""
    rng = np.random.default_rng(number)
    repeated = {name: np.repeat(array[:1], number, axis=0) for name, array in inputs.items()}
    return {n: rng.permuted(a, axis=1) if a.ndim > 1 else a + np.arange(number) for n, a in repeated.items()}


def same(answer: Arrays, expected: Arrays) -> None:
    assert answer.keys() == expected.keys()
    for name, array in answer.items():
        assert array.dtype == expected[name].dtype
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", ["affine", "types", "ragged", "steady"])
@pytest.mark.parametrize("number", [1, 3, 32])
async def test_remote_equals_local(
    name: str, number: int, repository: Repository, smalls: Any, remote: TritonBackend, local: LocalBackend
) -> None:
    version = repository.load(name, 1)
    here, there = await local.open(version), await remote.open(version)
    inputs = many(smalls[name].inputs, number)
    same(await there.infer(inputs, Call()), await here.infer(inputs, Call()))
    await here.close()
    await there.close()


async def together(engine: Engine, requests: list[Arrays]) -> list[Arrays]:
    return await asyncio.gather(*(engine.infer(request, Call(deadline=time.monotonic() + 20)) for request in requests))


async def test_concurrent_requests_are_merged_and_answered_as_alone(
    repository: Repository, remote: TritonBackend, counted: Any
) -> None:
    engine = await remote.open(repository.load("steady", 1))
    rng = np.random.default_rng(5)
    requests = [{"x": rng.normal(size=(1, 256)).astype(np.float32)} for _ in range(24)]
    alone = [await engine.infer(request, Call()) for request in requests]
    before = await counted("steady", 0.2)
    answers = await together(engine, requests)
    rows, executions = await counted("steady", 0.2) - before
    assert rows == 24
    assert executions <= 8
    for answer, expected in zip(answers, alone, strict=True):
        same(answer, expected)


async def test_requests_of_different_length_are_merged_through_padding(
    repository: Repository, remote: TritonBackend, counted: Any, sentence: Callable[[int], Arrays]
) -> None:
    engine = await remote.open(repository.load("ragged", 1))
    requests = [sentence(tokens) for tokens in range(25, 49)]
    alone = [await engine.infer(request, Call()) for request in requests]
    before = await counted("ragged", 0.2)
    answers = await together(engine, requests)
    rows, executions = await counted("ragged", 0.2) - before
    assert rows == 24
    # Every length is there once: unpadded, nothing could be merged.
    assert executions <= 16
    for request, answer, expected in zip(requests, answers, alone, strict=True):
        np.testing.assert_array_equal(answer["next"], request["ids"] + 1)
        same(answer, expected)


async def test_a_bad_row_fails_alone(
    repository: Repository, remote: TritonBackend, sentence: Callable[[int], Arrays]
) -> None:
    engine = await remote.open(repository.load("ragged", 1))
    good, bad = sentence(8), sentence(8)
    bad["ids"] = bad["ids"] + 1_000_000
    results = await asyncio.gather(
        *(engine.infer(bad if i == 5 else good, Call()) for i in range(12)), return_exceptions=True
    )
    assert [isinstance(result, BackendFault) for result in results] == [i == 5 for i in range(12)]
    assert "out of data bounds" in str(results[5])


@pytest.mark.parametrize("x", [np.ones((1, 5), np.float32), np.ones((1, 4)), np.ones((65, 4), np.float32)])
async def test_what_the_server_refuses_is_the_backends_fault(
    repository: Repository, remote: TritonBackend, x: np.ndarray
) -> None:
    """Such inputs never pass our own check; if they do, somebody's model is wrong, not the caller."""
    engine = await remote.open(repository.load("affine", 1))
    with pytest.raises(BackendFault, match="INVALID_ARGUMENT"):
        await engine.infer({"x": x}, Call())
    assert (await engine.infer({"x": np.ones((1, 4), np.float32)}, Call()))["y"].sum() == 8


async def test_a_model_that_the_server_does_not_have_is_not_ready(
    repository: Repository, remote: TritonBackend
) -> None:
    folder, card = repository.load("affine", 1)
    for name, number in (("affine", 9), ("absent", 1)):
        changed = type(card)(
            **{f: getattr(card, f) for f in card.__struct_fields__} | {"name": name, "version": number}
        )
        with pytest.raises(NotReady, match=f"{name}@{number} on Triton"):
            await remote.open(repository.load("affine", 1)._replace(folder=folder, card=changed))
