"""Labelled texts as the rows that an encoder takes, by the same function that the server uses."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from common.errors import Invalid, OperatorError
from common.text.features import PAD, tokens


class Rows(NamedTuple):
    ids: Tensor
    """int64 (n, longest), filled with PAD"""
    lengths: Tensor
    """int64 (n,)"""
    truth: Tensor
    """bool (n, labels)"""

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The encoder's inputs, cut to the longest of these rows: ids and mask."""
        lengths = self.lengths[rows]
        width = int(lengths.max())
        return self.ids[rows, :width], torch.arange(width, device=lengths.device) < lengths.unsqueeze(1)

    def to(self, device: torch.device) -> "Rows":
        return Rows(*(tensor.to(device) for tensor in self))

    def by_length(self, rows: Tensor) -> Tensor:
        """These row numbers, shortest text first: a padding token costs as much as a word."""
        return rows[self.lengths[rows].argsort(stable=True)]


def encoded(texts: Sequence[str], names: Sequence[str], truth: np.ndarray, tokenizer: Tokenizer, longest: int) -> Rows:
    """Rows on the CPU, texts cut to ``longest`` tokens; ``truth`` is bool (texts, labels).

    Raises OperatorError with the name of the text without any word.
    """
    try:
        found = [tokens(tokenizer, text, longest, name) for text, name in zip(texts, names, strict=True)]
    except Invalid as error:
        raise OperatorError(f"{error.detail}; drop the row") from error
    return Rows(filled(found, longest), torch.tensor([len(ids) for ids in found]), torch.from_numpy(truth))


def filled(found: Sequence[Sequence[int]], width: int) -> Tensor:
    """int64 (rows, width), each row filled up with PAD."""
    out = torch.full((len(found), width), PAD)
    for number, ids in enumerate(found):
        out[number, : len(ids)] = torch.tensor(ids)
    return out
