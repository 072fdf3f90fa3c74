"""From texts to a graph's numbers and back. numpy and tokenizers only: trainer and server share it."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from common.errors import Invalid, OperatorError
from contracts.text import MOST_CHARACTERS

TOKENIZER = "tokenizer.json"
PAD, UNKNOWN = 0, 1
"""Ids that the graphs themselves know."""


def tokens(tokenizer: Tokenizer, text: str, longest: int | None = None, field: str = "text") -> list[int]:
    """Ids of a text. With ``longest``, what follows that many is not read.

    Raises Invalid for a text without a token (white space and control characters alone) or over MOST_CHARACTERS.
    """
    if len(text) > MOST_CHARACTERS:
        raise Invalid.field(field, f"has {len(text)} characters, at most {MOST_CHARACTERS} are taken")
    # A lone surrogate is legal in a str and in JSON, but in no UTF-8 that the tokenizer takes.
    ids = tokenizer.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False).ids[:longest]
    if not ids:
        raise Invalid.field(field, "is empty; send at least one word")
    return ids


def whole(tokenizer: Tokenizer, text: str, most: int, field: str = "text") -> list[int]:
    """Ids of a text that is read to its end.

    Raises Invalid as ``tokens`` does, and for a text of more than ``most`` tokens.
    """
    ids = tokens(tokenizer, text, field=field)
    if len(ids) > most:
        raise Invalid.field(field, f"has {len(ids)} tokens, the model reads at most {most}; shorten or split the text")
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
def published_tokenizer(path: Path, _digest: str) -> Tokenizer:
    """``read_tokenizer``, once per file. The digest is part of the key: a version's number may come back with another
    file."""
    return read_tokenizer(path)
