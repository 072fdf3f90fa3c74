"""Texts to labels with a served encoder."""

import asyncio
from pathlib import Path

import numpy as np

from common.errors import Invalid, OperatorError, Rejected
from common.registry.store import Repository
from common.runtime.base import Arrays, Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from common.text.features import pad, probabilities, published_tokenizer, tokens
from contracts.models import ModelCard
from contracts.reference import ReferenceAnswer, ReferenceAnswers

MODEL = "emotions-reference"


class Reference:
    """Classifies texts with a served encoder."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def classify(self, text: str, call: Call, model: str = MODEL) -> tuple[ReferenceAnswer, ModelCard]:
        """Labels with their probabilities, and the card of the version that answered.

        Raises Invalid for an empty or overlong text and for a model of another task, and what ``Models.infer`` raises.
        """
        # No await between the two look-ups: tokenizer and graph are of one version.
        inputs = self._inputs(text, model)
        outputs, card = await self._models.infer(model, inputs, call)
        return answer(outputs["logits"][0], card), card

    def _inputs(self, text: str, model: str) -> Arrays:
        served = self._models.served(model)
        spec = served.card.text
        if spec is None:
            raise Invalid.field("model", f"task is {served.card.task}; GET /v1/models lists the others")
        path = served.folder / spec.tokenizer
        return pad([tokens(published_tokenizer(path, served.card.files[spec.tokenizer]), text, spec.max_tokens)])


def answer(logits: np.ndarray, card: ModelCard) -> ReferenceAnswer:
    """``logits`` float32 (labels,) under the card's labels and thresholds."""
    found = dict(zip(card.labels, probabilities(logits).tolist(), strict=True))
    on = zip(found.items(), card.thresholds, strict=True)
    return ReferenceAnswer(labels=tuple(name for (name, p), least in on if p >= least), probabilities=found)


def predict(*, file: Path, models: Path, model: str | None = None) -> ReferenceAnswers:
    """Classify a text file, one text a line, without a server (``kithara predict``). Raises OperatorError."""
    try:
        lines = file.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"cannot read {file} ({error}); name a UTF-8 file with one text a line") from error
    return asyncio.run(_predict(file, lines, models, MODEL if model is None else model))


async def _predict(file: Path, lines: list[str], root: Path, model: str) -> ReferenceAnswers:
    repository = Repository(root)
    name, number = repository.resolve(model)
    served = Models(repository, LocalBackend(threads=1, device="cpu"), names=[name])
    await served.start()
    try:
        reference, answers = Reference(served), list[ReferenceAnswer]()
        for at, line in enumerate(lines, 1):
            try:
                answers.append((await reference.classify(line, Call("predict"), model))[0])
            except Rejected as error:
                raise OperatorError(f"{file}, line {at}: {error.detail}") from error
        return ReferenceAnswers(model=name, version=number, answers=tuple(answers))
    finally:
        await served.stop(drain=0.0)
