"""Name the emotions in texts: tokens by the served version's own file, packed into executions, thresholds applied."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from common.errors import BackendFault, Invalid, OperatorError, Rejected
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from common.runtime.packs import packs
from common.runtime.slots import Served
from common.runtime.together import together
from common.text.features import pad, probabilities, published_tokenizer, whole
from contracts.models import ModelCard
from contracts.problem import FieldError
from contracts.text import MODEL, EmotionsRequest, EmotionsResponse, TextEmotions
from contracts.vision_nlp import LOGITS, LabelScore

INLINE_CHARACTERS = 2_000
"""Texts of so many characters together are read faster than a thread takes over."""
AHEAD = 2
"""Executions that one request waits for at once: others get between."""


class Emotions:
    """Answers ``POST /v1/text/emotions`` with any served multi-label text encoder."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._readers = asyncio.Semaphore(2)

    async def name(self, body: EmotionsRequest, call: Call) -> EmotionsResponse:
        """Raises Invalid that names every text that is empty or too long, Invalid for a model of another task, and
        what ``Models.served`` and ``Engine.infer`` raise."""
        fields = [f"texts[{at}]" for at in range(len(body.texts))]
        answers, card = await self.answer(body.texts, fields, body.model, call)
        return EmotionsResponse(answers=answers, model=card.name, version=card.version, request_id=call.request_id)

    async def answer(
        self, texts: Sequence[str], fields: Sequence[str], ref: str, call: Call
    ) -> tuple[tuple[TextEmotions, ...], ModelCard]:
        """One answer for each text; ``fields`` are what errors call them. Raises as ``name`` does."""
        # Looked up once: tokenizer, thresholds and graph are of one version, whatever is loaded meanwhile.
        served = self._models.served(ref)
        started = time.perf_counter()
        rows = await self._read(served, texts, fields)
        call.timing.decode += time.perf_counter() - started
        logits = await _run(served, rows, call)
        return tuple(text_emotions(*row, served.card) for row in zip(logits, map(len, rows), strict=True)), served.card

    async def _read(self, served: Served, texts: Sequence[str], fields: Sequence[str]) -> list[list[int]]:
        card = served.card
        if card.text is None or len(card.thresholds) != len(card.labels):
            raise Invalid.field(
                "model",
                f"{card.name!r} names no emotions in texts, its task is {card.task}; GET /v1/models lists the others",
            )
        name, most = card.text.tokenizer, card.text.max_tokens
        tokenizer = published_tokenizer(served.folder / name, card.files[name])
        if sum(map(len, texts)) <= INLINE_CHARACTERS:
            return encode(tokenizer, texts, fields, most)
        async with self._readers:
            return await asyncio.to_thread(encode, tokenizer, texts, fields, most)


def encode(tokenizer: Tokenizer, texts: Sequence[str], fields: Sequence[str], most: int) -> list[list[int]]:
    """Ids of each text. Raises Invalid with all texts that are empty or have over ``most`` tokens."""
    found: list[list[int]] = []
    errors: list[FieldError] = []
    for text, field in zip(texts, fields, strict=True):
        try:
            found.append(whole(tokenizer, text, most, field))
        except Invalid as error:
            errors += error.errors
    if errors:
        raise Invalid.fields(tuple(errors))
    return found


def text_emotions(logits: np.ndarray, tokens: int, card: ModelCard) -> TextEmotions:
    """``logits`` float32 (labels,) under the card's labels and thresholds."""
    p = probabilities(logits)
    order = np.argsort(-p, kind="stable")
    return TextEmotions(
        labels=tuple(card.labels[i] for i in order if p[i] >= card.thresholds[i]),
        scores=tuple(LabelScore(label=label, score=float(score)) for label, score in zip(card.labels, p, strict=True)),
        tokens=tokens,
    )


async def _run(served: Served, rows: Sequence[list[int]], call: Call) -> np.ndarray:
    """Float32 (texts, labels), in the order of ``rows``."""
    logits = np.empty((len(rows), len(served.card.labels)), np.float32)
    ahead, timing = asyncio.Semaphore(AHEAD), call.timing

    async def run(pack: list[int]) -> None:
        leg = Call(call.request_id, call.deadline)
        async with ahead:
            outputs = await served.engine.infer(pad([rows[at] for at in pack]), leg)
        logits[pack] = outputs[LOGITS]
        # They run side by side: the longest stands for all.
        timing.queue, timing.infer = max(timing.queue, leg.timing.queue), max(timing.infer, leg.timing.infer)

    await together(run(pack) for pack in packs([len(row) for row in rows], served.card.limits))
    if not np.isfinite(logits).all():
        raise BackendFault(
            f"{served.card.name}@{served.version} answered with numbers that are not finite; publish it anew"
        )
    return logits


def predict(*, file: Path, models: Path, model: str | None = None) -> EmotionsResponse:
    """Answer a text file, one text a line, without a server (``kithara predict``). Raises OperatorError."""
    try:
        lines = file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"cannot read {file} ({error}); name a UTF-8 file with one text a line") from error
    return asyncio.run(_predict(file, lines, models, model or MODEL))


async def _predict(file: Path, lines: list[str], root: Path, ref: str) -> EmotionsResponse:
    repository = Repository(root)
    served = Models(repository, LocalBackend(threads=1, device="cpu"), names=[repository.resolve(ref)[0]])
    await served.start()
    try:
        call, names = Call("predict"), [f"line {at}" for at in range(1, len(lines) + 1)]
        answers, card = await Emotions(served).answer(lines, names, ref, call)
        return EmotionsResponse(answers=answers, model=card.name, version=card.version, request_id=call.request_id)
    except Rejected as error:
        raise OperatorError(f"{file}: {error.detail}") from error
    finally:
        await served.stop(drain=0.0)
