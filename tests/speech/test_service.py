"""Executions within the card's limits, faults of the model, callers that leave or run out of time, no server."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from common.audio.frames import FEATURES, speech_frames
from common.audio.functionals import functionals
from common.errors import BackendFault, DeadlineExceeded, OperatorError, QueueFull, Unknown
from common.http.forms import File
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from contracts.models import Limits
from contracts.speech import ClipEmotion, EmotionOptions, emotion_signature
from speech.inputs import frames, graph_inputs
from speech.predict import predict
from speech.service import IN_HAND, Listener

NAME = "speech-emotion"


@pytest.fixture
async def models(models_root: Path) -> AsyncIterator[Models]:
    models = Models(Repository(models_root), LocalBackend(threads=1, device="cpu"))
    await models.start()
    yield models
    await models.stop(drain=0.0)


@pytest.mark.parametrize("samples", [1, 399, 400, 559, 560, 561, 16_000, 48_001])
def test_frames_are_counted_before_they_are_made(samples: int) -> None:
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, samples).astype(np.float32)
    assert frames(samples) == len(speech_frames(sound))


def test_rows_are_padded_and_every_row_gets_the_text(make_voice) -> None:
    short, long = make_voice(1, 0.5).samples, make_voice(2, 1.0).samples
    inputs = graph_inputs([short, long], (7, 8, 9))
    assert inputs["frames"].shape[:2] == inputs["frames_mask"].shape == (2, frames(16_000))
    np.testing.assert_array_equal(inputs["frames_mask"].sum(1), [frames(8_000), frames(16_000)])
    np.testing.assert_array_equal(inputs["frames"][0, : frames(8_000)], speech_frames(short))
    np.testing.assert_array_equal(inputs["ids"], [[7, 8, 9]] * 2)
    assert inputs["ids_mask"].all()
    silent = graph_inputs([short], ())
    np.testing.assert_array_equal(silent["ids"], [[0]])
    assert not silent["ids_mask"].any()
    assert set(graph_inputs([short], None)) == {"frames", "frames_mask"}


async def test_what_lies_under_the_mask_and_who_shares_the_execution_does_not_show(models, hearer, make_voice) -> None:
    """Specification, section 10.1, on the graph: alone, beside a clip ten times as long, rubbish as padding."""
    short, long = make_voice(1, 0.39).samples, make_voice(2, 3.9).samples
    alone = hearer.answer(short)
    inputs = graph_inputs([short, long], None)
    inputs["frames"][0, frames(len(short)) :] = 1e3
    outputs = await models.served(NAME).engine.infer(inputs, Call())
    np.testing.assert_allclose(outputs["logits"][0], alone.logits, atol=1e-4)
    np.testing.assert_allclose(outputs["embedding"][0], alone.embedding, atol=1e-4)


class Watched:
    """An engine that remembers the shapes that it is asked for."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.shapes = engine, []
        self.running = self.most = 0

    async def infer(self, inputs: dict[str, np.ndarray], call: Call) -> dict[str, np.ndarray]:
        self.shapes.append(inputs["frames"].shape[:2])
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await self.engine.infer(inputs, call)
        finally:
            self.running -= 1


class With:
    """Models whose engine, and parts of whose card, are replaced."""

    def __init__(self, models: Models, engine: Any, **changes: Any) -> None:
        self._models, self._engine, self._changes = models, engine, changes

    def served(self, ref: str) -> Any:
        served = self._models.served(ref)
        return served._replace(engine=self._engine, card=msgspec.structs.replace(served.card, **self._changes))


async def test_executions_keep_within_the_cards_limits_and_few_wait_at_once(models, make_voice) -> None:
    watched = Watched(models.served(NAME).engine)
    listener = Listener(With(models, watched, limits=Limits(max_rows=3, max_cost=500)))  # type: ignore[arg-type]
    options = EmotionOptions(segments=True, window_s=1.0, hop_s=0.3)
    answer = await listener.one(make_voice(1, 6.0).file, options, Call("x"))
    assert answer.segments
    assert sum(rows for rows, _ in watched.shapes) == len(answer.segments) + 2
    for rows, count in watched.shapes:
        assert rows <= 3
        assert rows * count <= 500
    assert watched.most <= 2


class Described:
    """An engine that keeps the functionals for itself."""

    def __init__(self, engine: Any) -> None:
        self._engine, self.given = engine, []

    async def infer(self, inputs: dict[str, np.ndarray], call: Call) -> dict[str, np.ndarray]:
        self.given += list(inputs["functionals"])
        return await self._engine.infer({n: a for n, a in inputs.items() if n != "functionals"}, call)


async def test_a_model_that_takes_functionals_gets_those_of_each_row(models, make_voice) -> None:
    card = models.served(NAME).card
    numbers = len(functionals(speech_frames(make_voice(1, 0.5).samples)))
    takes = emotion_signature(FEATURES, len(card.labels), 12, attributes=False, text=False, functionals=numbers)
    engine, voice = Described(models.served(NAME).engine), make_voice(3, 6.0)
    heard = msgspec.structs.replace(card.speech, functionals="speech-functionals-1")
    listener = Listener(With(models, engine, signature=takes, speech=heard))  # type: ignore[arg-type]
    await listener.one(voice.file, EmotionOptions(), Call("x"))
    wanted = [functionals(speech_frames(half)) for half in np.array_split(voice.samples, 2)]
    np.testing.assert_array_equal(engine.given, wanted)


class Failing:
    """An engine that fails, or answers with numbers that are none, for recordings of over 100 frames."""

    def __init__(self, engine: Any, error: Exception | None) -> None:
        self._engine, self._error = engine, error

    async def infer(self, inputs: dict[str, np.ndarray], call: Call) -> dict[str, np.ndarray]:
        outputs = await self._engine.infer(inputs, call)
        if inputs["frames"].shape[1] <= 100:
            return outputs
        if self._error:
            raise self._error
        return {name: array * np.nan if name == "embedding" else array for name, array in outputs.items()}


@pytest.mark.parametrize(
    ("error", "kind"), [(QueueFull("busy"), QueueFull), (BackendFault("x"), BackendFault), (None, BackendFault)]
)
async def test_a_fault_of_the_model(models, make_voice, error, kind) -> None:
    listener = Listener(With(models, Failing(models.served(NAME).engine, error)))  # type: ignore[arg-type]
    short, long = make_voice(1, 0.5).file, make_voice(2, 2.0).file
    with pytest.raises(kind):
        await listener.one(long, EmotionOptions(), Call("x"))
    served, files = listener.served(EmotionOptions()), [File("a", short), File("b", long), File("c", short)]
    if kind is QueueFull:  # to be asked again, as a whole
        with pytest.raises(QueueFull):
            await listener.many(served, files, EmotionOptions(), Call("x"))
        return
    found = await listener.many(served, files, EmotionOptions(), Call("x"))
    assert [type(one) for one in found] == [ClipEmotion, BackendFault, ClipEmotion]


class Slow:
    """An engine that never answers, and knows how many wait for it."""

    def __init__(self) -> None:
        self.waiting = 0

    async def infer(self, inputs: dict[str, np.ndarray], call: Call) -> dict[str, np.ndarray]:
        self.waiting += 1
        try:
            await asyncio.sleep(3600)
        finally:
            self.waiting -= 1
        raise AssertionError("nobody waits so long")


async def test_a_deadline_ends_the_work_wherever_it_stands(models, make_voice) -> None:
    slow = Slow()
    listener, file = Listener(With(models, slow)), make_voice(1, 0.5).file  # type: ignore[arg-type]
    for wait in (0.0, 0.3):
        with pytest.raises(DeadlineExceeded):
            await listener.one(file, EmotionOptions(), Call("x", time.monotonic() + wait))
    assert slow.waiting == 0


async def test_a_caller_who_leaves_frees_what_others_wait_for(models, make_voice) -> None:
    """A full house of recordings that never end; when their callers are gone the next one is answered."""
    slow, file = Slow(), make_voice(1, 0.5).file
    listener = Listener(With(models, slow))  # type: ignore[arg-type]
    served = listener.served(EmotionOptions())
    files = [File(f"v{at}", file) for at in range(2 * IN_HAND)]
    task = asyncio.create_task(listener.many(served, files, EmotionOptions(), Call("x")))
    async with asyncio.timeout(20):
        while slow.waiting < IN_HAND:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert slow.waiting == IN_HAND  # the others are not even decoded
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slow.waiting == 0
    real = models.served(NAME)
    (found,) = await listener.many(real, files[:1], EmotionOptions(), Call("y"))
    assert isinstance(found, ClipEmotion)


def test_predict_answers_without_a_server(models_root: Path, tmp_path: Path, hearer, make_voice) -> None:
    voice, file = make_voice(5), tmp_path / "voice.wav"
    file.write_bytes(voice.file)
    answer = predict(file=file, models=models_root)
    np.testing.assert_allclose(list(answer.scores.values()), hearer.answer(voice.samples).probabilities(), atol=1e-5)
    assert (answer.model, answer.version) == (NAME, 1)
    assert predict(file=file, models=models_root, model="speech-reader@1").attributes
    with pytest.raises(OperatorError, match="cannot read"):
        predict(file=tmp_path / "none.wav", models=models_root)
    with pytest.raises(OperatorError, match="names no emotion in speech"):
        predict(file=file, models=models_root, model="deaf")
    with pytest.raises(Unknown, match="no model 'nobody'"):
        predict(file=file, models=models_root, model="nobody")
    file.write_bytes(b"text")
    with pytest.raises(OperatorError, match=r"voice\.wav: .*convert it"):
        predict(file=file, models=models_root)
