"""Embed clips: decode, cut into windows, run the graph on them, average."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import BackendFault, Conflict, Invalid, OperatorError, Rejected, Unknown
from common.http.forms import File
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from common.runtime.together import together
from contracts.models import AudioInput, ModelCard
from contracts.music_fewshot import MODEL, ClipEmbedding, clip_signature
from contracts.problem import FieldError
from music_fewshot.features import Clip, pooled, to_clip

DECODERS = 2
"""Clips decoded at once."""
IN_HAND = 8
"""Decoded clips of all requests that wait for the model: a long one takes 60 MB."""
AHEAD = 2
"""Executions that one clip waits for at once: others get between."""
REMEDY = "serve it again (kithara models alias NAME ALIAS VERSION keeps a version open), or make the tag set anew"


class Embedded(NamedTuple):
    """A clip as the model hears it."""

    embedding: np.ndarray
    """float32 (D,), the mean of ``windows``."""
    windows: np.ndarray
    """float32 (windows, D)"""
    seconds: float
    sha256: str


class Embedder:
    """Embeds clips with any served embedding; memory and load are bounded over all requests."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._decoders = asyncio.Semaphore(DECODERS)
        self._in_hand = asyncio.Semaphore(IN_HAND)

    def card(self, ref: str, field: str) -> ModelCard:
        """Of the served embedding behind ``ref``. Raises Unknown, NotReady, and Invalid for ``field``: no embedding."""
        card = self._models.served(ref).card
        if card.audio is None or card.signature != clip_signature(card.audio.window, dimensions(card)):
            raise Invalid.field(
                field, f"{card.name!r} does not embed sound, its task is {card.task}; GET /v1/models lists the others"
            )
        return card

    def pinned(self, ref: str, graph_sha256: str) -> ModelCard:
        """Of the version that a tag set is bound to. Raises NotReady, and Conflict where it is not served any more."""
        try:
            card = self.card(ref, "model")
        except (Unknown, Invalid) as error:
            raise Conflict(
                f"the tag set is bound to {ref}, which is not served here ({error.detail}); {REMEDY}"
            ) from None
        if card.graph_sha256 != graph_sha256:
            raise Conflict(f"the tag set is bound to another graph than the {ref} that is served here; {REMEDY}")
        return card

    async def embed(self, card: ModelCard, files: Sequence[File], call: Call) -> tuple[Embedded, ...]:
        """One for each file, in their order. Raises Invalid that names every bad file, and as ``Models.infer``."""
        bad: dict[int, Rejected] = {}
        found = await together(self._one(card, i, file, call, bad) for i, file in enumerate(files))
        if bad:
            raise _refusal(files, bad)
        return tuple(embedded for embedded in found if embedded)

    async def _one(
        self, card: ModelCard, position: int, file: File, call: Call, bad: dict[int, Rejected]
    ) -> Embedded | None:
        assert card.audio is not None, "card() refuses a model without"
        async with self._in_hand:
            started = time.perf_counter()
            try:
                clip = await self._decode(file, card.audio)
            except Rejected as error:
                bad[position] = error
                return None
            call.timing.decode += time.perf_counter() - started
            if bad:  # all that is wrong is told at once, but nothing will be answered
                return None
            rows = await self._run(card, clip.rows, call)
        return Embedded(pooled(rows), rows, clip.seconds, clip.sha256)

    async def _decode(self, file: File, spec: AudioInput) -> Clip:
        async with self._decoders:
            return await asyncio.to_thread(to_clip, file.content, spec, file.name)

    async def _run(self, card: ModelCard, rows: np.ndarray, call: Call) -> np.ndarray:
        """float32 (n, samples) -> float32 (n, D), in executions that the card allows."""
        ahead, ref = asyncio.Semaphore(AHEAD), reference(card)

        async def run(part: np.ndarray) -> np.ndarray:
            async with ahead:
                outputs, _ = await self._models.infer(ref, {"waveform": part}, call)
            embeddings = outputs["embedding"]
            if not np.isfinite(embeddings).all():
                raise BackendFault(f"{ref} answered a clip with numbers that are not finite; publish it anew")
            return embeddings

        most = card.limits.max_rows
        return np.concatenate(await together(run(rows[start : start + most]) for start in range(0, len(rows), most)))


def reference(card: ModelCard) -> str:
    """``name@version``"""
    return f"{card.name}@{card.version}"


def dimensions(card: ModelCard) -> int:
    """D of an embedding's card; 1 where it is none."""
    size = card.signature.outputs[0].dims[-1]
    return size if isinstance(size, int) else 1


def window_seconds(card: ModelCard) -> float:
    """Of one window of the embedding."""
    assert card.audio is not None, "an embedding's card says what it hears"
    return card.audio.window / card.audio.sample_rate


def _refusal(files: Sequence[File], bad: dict[int, Rejected]) -> Rejected:
    """The error itself where one file was sent alone, else one that names each."""
    if len(files) == 1:
        return bad[0]
    return Invalid.fields(tuple(_named(files[i].name, error) for i, error in sorted(bad.items())))


def _named(name: str, error: Rejected) -> FieldError:
    return FieldError(field=f"form.{name}", message=error.errors[0].message if error.errors else error.detail)


def predict(*, file: Path, models: Path, model: str | None = None) -> ClipEmbedding:
    """How a model hears one clip, without a server (``kithara predict``). Raises OperatorError."""
    return asyncio.run(_predict(file, models, model or MODEL))


async def _predict(file: Path, root: Path, ref: str) -> ClipEmbedding:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise OperatorError(f"cannot read {file}: {error.strerror}; name a sound file") from error
    repository = Repository(root)
    served = Models(repository, LocalBackend(threads=1, device="cpu"), names=[repository.resolve(ref)[0]])
    await served.start()
    try:
        embedder = Embedder(served)
        card = embedder.card(ref, "model")
        (embedded,) = await embedder.embed(card, [File("clip", content)], Call("predict"))
    except Rejected as error:
        raise OperatorError(f"{file}: {error.detail}") from error
    finally:
        await served.stop(drain=0.0)
    return _summary(card, embedded)


def _summary(card: ModelCard, embedded: Embedded) -> ClipEmbedding:
    whole = embedded.embedding.astype(np.float64)
    norm = float(np.linalg.norm(whole))
    lengths = np.maximum(np.linalg.norm(embedded.windows.astype(np.float64), axis=1) * norm, np.finfo(np.float64).tiny)
    steadiness = float(np.clip((embedded.windows @ whole / lengths).mean(), -1.0, 1.0))
    return ClipEmbedding(
        model=reference(card),
        graph_sha256=card.graph_sha256,
        audio_sha256=embedded.sha256,
        seconds=embedded.seconds,
        windows=len(embedded.windows),
        steadiness=steadiness,
        norm=norm,
        embedding=tuple(whole.tolist()),
    )
