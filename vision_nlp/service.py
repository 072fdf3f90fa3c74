"""Classify a picture: decode, run the graph, name the labels."""

import asyncio
import time
from pathlib import Path

import numpy as np
from PIL import Image

from common.errors import Invalid, OperatorError, Rejected
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from contracts.models import ImageInput, ModelCard
from contracts.vision_nlp import ClassifyOptions, ClassifyResponse, LabelScore
from vision_nlp.features import open_image, to_input

INLINE_PIXELS = 256 * 256
"""Pictures up to this size decode faster than a thread takes over."""


class Classifier:
    """Answers ``POST /v1/vision/classify`` over any served image classifier."""

    def __init__(self, models: Models) -> None:
        self._models = models
        # A decoded picture may take 75 MB: a few at a time, whatever the load.
        self._decoders = asyncio.Semaphore(2)

    async def classify(self, picture: bytes, options: ClassifyOptions, call: Call) -> ClassifyResponse:
        """Raises what ``features.open_image`` and ``Models.infer`` raise, and Invalid for a model of another task."""
        card = self._models.served(options.model).card
        if card.image is None:
            raise Invalid.field(
                "model",
                f"{card.name!r} does not take pictures, its task is {card.task}; GET /v1/models lists the others",
            )
        started = time.perf_counter()
        pixels = await self._decode(picture, card.image, options.invert)
        call.timing.decode += time.perf_counter() - started
        outputs, card = await self._models.infer(options.model, {"pixels": pixels}, call)
        return answer(outputs, card, options.top_k, call.request_id)

    async def _decode(self, picture: bytes, spec: ImageInput, invert: bool) -> np.ndarray:
        image = open_image(picture)
        if image.width * image.height <= INLINE_PIXELS:
            return to_input(image, spec, invert=invert)
        async with self._decoders:
            return await asyncio.to_thread(_to_input, image, spec, invert)


def _to_input(image: Image.Image, spec: ImageInput, invert: bool) -> np.ndarray:
    return to_input(image, spec, invert=invert)


def answer(outputs: dict[str, np.ndarray], card: ModelCard, top_k: int, request_id: str) -> ClassifyResponse:
    """The response for the first row of a graph's outputs; ``logits`` float32 (1, labels)."""
    scores = softmax(outputs["logits"][0])
    order = np.argsort(-scores, kind="stable")[:top_k]
    return ClassifyResponse(
        label=card.labels[order[0]],
        scores=tuple(LabelScore(label=card.labels[i], score=float(scores[i])) for i in order),
        leaf=int(outputs["leaf"][0]) if "leaf" in outputs else None,
        path_margin=float(outputs["path_margin"][0]) if "path_margin" in outputs else None,
        model=card.name,
        version=card.version,
        request_id=request_id,
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    """float (labels,) -> float64 (labels,) that sums to 1."""
    exp = np.exp(logits.astype(np.float64) - logits.max())
    return exp / exp.sum()


def predict(*, file: Path, models: Path, model: str | None = None) -> ClassifyResponse:
    """Classify one picture file without a server (``kithara predict``). Raises OperatorError."""
    return asyncio.run(_predict(file, models, ClassifyOptions() if model is None else ClassifyOptions(model=model)))


async def _predict(file: Path, root: Path, options: ClassifyOptions) -> ClassifyResponse:
    try:
        picture = file.read_bytes()
    except OSError as error:
        raise OperatorError(f"cannot read {file}: {error.strerror}; name a PNG or JPEG file") from error
    repository = Repository(root)
    served = Models(repository, LocalBackend(threads=1, device="cpu"), names=[repository.resolve(options.model)[0]])
    await served.start()
    try:
        return await Classifier(served).classify(picture, options, Call("predict"))
    except Rejected as error:
        raise OperatorError(f"{file}: {error.detail}") from error
    finally:
        await served.stop(drain=0.0)
