"""Labelled texts as the rows that the encoder takes, by the same function that the server uses."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from common.errors import Invalid, OperatorError
from contracts.models import DataSource, Use
from llm_studies.icl_priors.data import LOADERS
from llm_studies.icl_priors.generated import Sizes, generate
from llm_studies.icl_priors.items import Corpus, Item, matrix, shared_by, text_digest
from llm_studies.reference.config import Config
from llm_studies.reference.features import PAD, tokens

SPECIAL = ("[PAD]", "[UNK]", "[NAME]", "[RELIGION]")
"""In the order of their ids; the last two stand for what GoEmotions masked."""


class Known(NamedTuple):
    """What is known of a data set before it is read."""

    licence: str
    use: Use
    """Whether weights trained on it may be used by anybody."""
    model: str
    """Name under which an encoder of its aggregate labels is published."""


SETS = {
    "generated": Known("Apache-2.0 (made by this package)", "open", "generated-reference"),
    "goemotions": Known(
        "Apache-2.0 (github.com/monologg/GoEmotions-pytorch; GoEmotions, arXiv 2005.00547)",
        "open",
        "emotions-reference",
    ),
    "hs_brexit": Known("none stated; shared task data for research only", "research", "hs-brexit-reference"),
}


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


def learn_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Byte-level BPE (Radford et al. 2019, section 2.2) over text without case and accents.

    Not WordPiece, whose trainer numbers tokens by the order of a hash table: equal texts give equal files here.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.BertNormalizer(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[AddedToken(name, lstrip=True, normalized=False) for name in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def rows(items: Sequence[Item], annotator: str, tokenizer: Tokenizer, longest: int, device: torch.device) -> Rows:
    """Raises OperatorError that names the text without any word."""
    try:
        found = [tokens(tokenizer, item.text, longest, item.id) for item in items]
    except Invalid as error:
        raise OperatorError(f"{error.detail}; drop the row") from error
    truth = torch.from_numpy(matrix(items, annotator))
    lengths = torch.tensor([len(ids) for ids in found])
    return Rows(_filled(found, longest).to(device), lengths.to(device), truth.to(device))


def label_names(tokenizer: Tokenizer, labels: Sequence[str]) -> Tensor:
    """int64 (labels, pieces): the pieces of each label's name, filled with PAD."""
    found = [tokens(tokenizer, label.replace("_", " "), 16, "label") for label in labels]
    return _filled(found, max(map(len, found)))


def _filled(found: Sequence[Sequence[int]], width: int) -> Tensor:
    out = torch.full((len(found), width), PAD)
    for number, ids in enumerate(found):
        out[number, : len(ids)] = torch.tensor(ids)
    return out
