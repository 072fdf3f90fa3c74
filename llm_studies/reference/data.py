"""The data sets of the studies as the rows that the encoder takes."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from common.data.goemotions import LICENCE
from common.text.features import tokens
from common.text.rows import Rows, encoded, filled
from contracts.models import DataSource, Use
from llm_studies.icl_priors.data import LOADERS
from llm_studies.icl_priors.generated import Sizes, generate
from llm_studies.icl_priors.items import Corpus, Item, matrix, shared_by, text_digest
from llm_studies.reference.config import Config


class Known(NamedTuple):
    """What is known of a data set before it is read."""

    licence: str
    use: Use
    """Whether weights trained on it may be used by anybody."""
    model: str
    """Name under which an encoder of its aggregate labels is published."""


SETS = {
    "generated": Known("Apache-2.0 (made by this package)", "open", "generated-reference"),
    "goemotions": Known(LICENCE, "open", "emotions-reference"),
    "hs_brexit": Known("none stated; shared task data for research only", "research", "hs-brexit-reference"),
}


def load(config: Config, data: Path | None) -> Corpus:
    """The data set with the labels of the chosen annotator on every text.

    Raises OperatorError for missing or broken files, and for an annotator that the set does not have.
    """
    if config.data.name == "generated":
        sizes = config.data.generated
        corpus = generate(config.seed, Sizes(sizes.train, sizes.dev, sizes.test))
    else:
        corpus = LOADERS[config.data.name](data)
    return shared_by(corpus, [config.data.annotator])


def source(corpus: Corpus) -> DataSource:
    """What the run saw."""
    licence = SETS[corpus.name].licence
    return DataSource(name=corpus.name, licence=licence, sha256=corpus.sha256, items=len(corpus.items))


def unseen(corpus: Corpus, items: Sequence[Item]) -> np.ndarray:
    """bool (items,): texts that do not stand in the training split as well, up to white space."""
    trained = {text_digest(item.text) for item in corpus.split("train")}
    return np.array([text_digest(item.text) not in trained for item in items], np.bool_)


def rows(items: Sequence[Item], annotator: str, tokenizer: Tokenizer, longest: int, device: torch.device) -> Rows:
    """Raises OperatorError that names the text without any word."""
    texts, names = [item.text for item in items], [item.id for item in items]
    return encoded(texts, names, matrix(items, annotator), tokenizer, longest).to(device)


def label_names(tokenizer: Tokenizer, labels: Sequence[str]) -> Tensor:
    """int64 (labels, pieces): the pieces of each label's name, filled with PAD."""
    found = [tokens(tokenizer, label.replace("_", " "), 16, "label") for label in labels]
    return filled(found, max(map(len, found)))
