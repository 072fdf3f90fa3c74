"""From texts to the graph's numbers and back to labels. numpy and tokenizers only: trainer and server share it."""

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from common.errors import Invalid, OperatorError, Rejected
from common.registry.store import Repository
from common.runtime.base import Arrays, Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from contracts.models import ModelCard
from contracts.reference import ReferenceAnswer, ReferenceAnswers

MODEL = "emotions-reference"
TOKENIZER = "tokenizer.json"
PAD, UNKNOWN = 0, 1
"""Ids that the graph itself knows."""
MOST_CHARACTERS = 8_000
"""Of one text; far above what fits ``max_tokens``."""


def tokens(tokenizer: Tokenizer, text: str, longest: int, field: str = "text") -> list[int]:
    """Ids of a text, at most ``longest``; what follows is not read.

    Raises Invalid for a text without a token (white space and control characters alone) or over MOST_CHARACTERS.
    """
    if len(text) > MOST_CHARACTERS:
        raise Invalid.field(field, f"has {len(text)} characters, at most {MOST_CHARACTERS} are taken")
    # A lone surrogate is legal in a str and in JSON, but in no UTF-8 that the tokenizer takes.
    ids = tokenizer.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False).ids[:longest]
    if not ids:
        raise Invalid.field(field, "is empty; send at least one word")
    return ids


def pad(rows: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    """The graph's inputs: ``ids`` int64 (rows, longest) and ``mask`` bool, true where a token lies."""
    ids = np.full((len(rows), max(map(len, rows))), PAD, np.int64)
    mask = np.zeros(ids.shape, np.bool_)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = row
        mask[number, : len(row)] = True
    return {"ids": ids, "mask": mask}


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Elementwise logistic function without overflow; float64."""
    return 0.5 * (1.0 + np.tanh(0.5 * logits.astype(np.float64)))


def read_tokenizer(path: Path) -> Tokenizer:
    """Raises OperatorError when the file is missing or no tokenizer."""
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises plain Exception
        raise OperatorError(f"{path} is no tokenizer ({error}); train or publish the model again") from error


@lru_cache(maxsize=8)
def _published_tokenizer(path: Path, _digest: str) -> Tokenizer:
    """The digest is part of the key: a version's number may come back with another file."""
    return read_tokenizer(path)


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
        return pad([tokens(_published_tokenizer(path, served.card.files[spec.tokenizer]), text, spec.max_tokens)])


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
