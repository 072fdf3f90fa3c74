"""Clips to embeddings: features against an oracle, executions within the card's limits, and without a server."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from common.errors import BackendFault, Invalid, OperatorError, QueueFull
from common.http.forms import File
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from contracts.models import AudioInput
from music_fewshot.features import pooled, to_clip
from music_fewshot.service import Embedder, predict


@pytest.fixture
async def models(models_root: Path):
    models = Models(Repository(models_root), LocalBackend(threads=1, device="cpu"))
    await models.start()
    yield models
    await models.stop(drain=0.0)


def test_a_clip_is_cut_as_the_card_says(make_sound) -> None:
    sound = make_sound(1, 1.2)
    clip = to_clip(sound.file, AudioInput(sample_rate=8000, window=3000))
    np.testing.assert_array_equal(clip.rows, sound.samples[:9000].reshape(3, 3000).astype(np.float32))
    assert clip.seconds == 1.2
    half = to_clip(make_sound(1, 1.2, 16_000).file, AudioInput(sample_rate=8000, window=9600))
    assert (half.rows.shape, half.seconds) == ((1, 9600), pytest.approx(1.2))


def test_the_mean_does_not_hang_on_the_order_of_addition() -> None:
    rows = np.array([[1e8], [1.0], [-1e8]], np.float32)
    assert pooled(rows).dtype == np.float32
    assert pooled(rows)[0] == np.float32(1 / 3)


async def test_embeddings_of_many_clips_are_those_of_each(models, make_sound, make_projection) -> None:
    embedder, sounds = Embedder(models), [make_sound(i, 0.3 + 0.7 * i) for i in range(12)]
    card = embedder.card("music-embedding", "model")
    files = [File(f"c{i}", sound.file) for i, sound in enumerate(sounds)]
    found = await embedder.embed(card, files, Call("x"))
    for one, sound in zip(found, sounds, strict=True):
        np.testing.assert_allclose(one.embedding, make_projection(1).of_samples(sound.samples), rtol=1e-4, atol=1e-5)
        assert one.windows.shape == (max(1, len(sound.samples) // 4000), 8)


class Failing:
    """Models whose every inference fails, or answers with numbers that are none."""

    def __init__(self, models: Models, error: Exception | None) -> None:
        self._models, self._error = models, error
        self.served = models.served

    async def infer(self, ref: str, inputs: dict[str, np.ndarray], call: Call):
        await asyncio.sleep(0)
        if self._error:
            raise self._error
        outputs, card = await self._models.infer(ref, inputs, call)
        return {"embedding": outputs["embedding"] * np.nan}, card


@pytest.mark.parametrize(("error", "kind"), [(QueueFull("busy"), QueueFull), (None, BackendFault)])
async def test_a_fault_of_the_model_comes_through_bare(models, make_sound, error, kind) -> None:
    embedder = Embedder(Failing(models, error))  # type: ignore[arg-type]
    card = embedder.card("music-embedding", "model")
    files = [File(f"c{i}", make_sound(i, 3.0).file) for i in range(3)]
    with pytest.raises(kind):
        await embedder.embed(card, files, Call("x"))


async def test_one_bad_clip_among_good_ones_and_alone(models, make_sound) -> None:
    embedder = Embedder(models)
    card = embedder.card("music-embedding", "model")
    bad = File("bad", make_sound(1, 0.1).file)
    with pytest.raises(Invalid, match=r"form.bad: lasts 0.1 s"):
        await embedder.embed(card, [File("good", make_sound(1).file), bad], Call("x"))
    with pytest.raises(Invalid, match=r"bad: lasts 0.1 s"):
        await embedder.embed(card, [bad], Call("x"))


def test_predict_tells_how_a_clip_is_heard(models_root: Path, tmp_path: Path, make_sound, make_projection) -> None:
    sound, file = make_sound(5, 2.0), tmp_path / "clip.wav"
    file.write_bytes(sound.file)
    said = predict(file=file, models=models_root)
    whole = make_projection(1).of_samples(sound.samples).astype(np.float64)
    np.testing.assert_allclose(said.embedding, whole, rtol=1e-4, atol=1e-5)
    parts = np.stack([make_projection(1).of_samples(row) for row in sound.samples.reshape(4, 4000)])
    cosines = parts @ whole / np.linalg.norm(parts, axis=1) / np.linalg.norm(whole)
    assert said.steadiness == pytest.approx(cosines.mean(), abs=1e-5)
    assert (said.model, said.seconds, said.windows) == ("music-embedding@1", 2.0, 4)
    assert said.norm == pytest.approx(np.linalg.norm(whole), rel=1e-4)
    with pytest.raises(OperatorError, match="cannot read"):
        predict(file=tmp_path / "none.wav", models=models_root)
    with pytest.raises(OperatorError, match="does not embed sound"):
        predict(file=file, models=models_root, model="deaf")
    file.write_bytes(b"text")
    with pytest.raises(OperatorError, match="convert it"):
        predict(file=file, models=models_root)
