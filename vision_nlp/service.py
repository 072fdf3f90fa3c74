"""Classify a picture: decode, run the graph or its stages, name the labels."""

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
from contracts.vision_nlp import LOGITS, PIXELS, ClassifyOptions, ClassifyResponse, LabelScore
from vision_nlp.acn.early import entropies
from vision_nlp.exits import Exits, require
from vision_nlp.features import open_image, to_input

INLINE_PIXELS = 256 * 256
"""Pictures up to this size decode faster than a thread takes over."""


class Classifier:
    """Answers ``POST /v1/vision/classify`` over any served image classifier."""

    def __init__(self, models: Models) -> None:
        self._models, self._exits = models, Exits(models)
        # A decoded picture may take 75 MB: a few at a time, whatever the load.
        self._decoders = asyncio.Semaphore(2)

    async def classify(self, picture: bytes, options: ClassifyOptions, call: Call) -> ClassifyResponse:
        """Raises what ``features.open_image``, ``Models.infer`` and ``Exits`` raise; Invalid for a model of another
        task and for what it cannot be asked."""
        card = self._models.served(options.model).card
        if card.image is None:
            raise Invalid.field(
                "model",
                f"{card.name!r} does not take pictures, its task is {card.task}; GET /v1/models lists the others",
            )
        require(card, options)
        started = time.perf_counter()
        pixels = await self._decode(picture, card.image, options.invert)
        call.timing.decode += time.perf_counter() - started
        if options.exit_entropy is None and options.depth in (None, _layers(card)):
            outputs, card = await self._models.infer(options.model, {PIXELS: pixels}, call)
            depth = _layers(card)
        else:
            outputs, card, depth = await self._early(pixels, options, call)
        return answer(outputs, card, options.top_k, call.request_id, depth)

    async def _early(
        self, pixels: np.ndarray, options: ClassifyOptions, call: Call
    ) -> tuple[dict[str, np.ndarray], ModelCard, int]:
        card = self._models.served(options.model).card  # another version may have come while the picture was decoded
        if options.depth is not None:
            left = await self._exits.at_depth(card, pixels, options.depth, call)
        else:
            left = await self._exits.until(card, pixels, options.exit_entropy or 0.0, call)
        return {LOGITS: left.logits}, card, int(left.depth[0])

    async def _decode(self, picture: bytes, spec: ImageInput, invert: bool) -> np.ndarray:
        image = open_image(picture)
        if image.width * image.height <= INLINE_PIXELS:
            return to_input(image, spec, invert=invert)
        async with self._decoders:
            return await asyncio.to_thread(_to_input, image, spec, invert)


def _to_input(image: Image.Image, spec: ImageInput, invert: bool) -> np.ndarray:
    return to_input(image, spec, invert=invert)


def _layers(card: ModelCard) -> int | None:
    """Blocks of the whole network, where it is one that may stop earlier."""
    return card.stages[-1].depth if card.stages else None


def answer(
    outputs: dict[str, np.ndarray], card: ModelCard, top_k: int, request_id: str, depth: int | None = None
) -> ClassifyResponse:
    """The response for the first row of a graph's outputs; ``logits`` float32 (1, labels).

    ``depth``: the blocks that ran, where the network is one that may stop earlier.
    """
    scores = softmax(outputs[LOGITS][0])
    order = np.argsort(-scores, kind="stable")[:top_k]
    return ClassifyResponse(
        label=card.labels[order[0]],
        scores=tuple(LabelScore(label=card.labels[i], score=float(scores[i])) for i in order),
        leaf=int(outputs["leaf"][0]) if "leaf" in outputs else None,
        path_margin=float(outputs["path_margin"][0]) if "path_margin" in outputs else None,
        depth=depth,
        entropy=None if depth is None else float(entropies(outputs[LOGITS][0])),
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
