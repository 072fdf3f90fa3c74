"""Texts with emotions as the rows that the encoder takes."""

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from common.data.emotions import Emotions, Sizes, generated, goemotions
from common.data.goemotions import Comment
from common.text.rows import Rows, encoded
from vision_nlp.acn_text.config import Config


def load(config: Config, data: Path | None) -> Emotions:
    """Raises OperatorError for missing or broken files."""
    if config.data.name == "goemotions":
        return goemotions(data)
    sizes = config.data.generated
    return generated(config.seed, Sizes(sizes.train, sizes.dev, sizes.test))


def rows(emotions: Emotions, texts: Sequence[Comment], tokenizer: Tokenizer, longest: int) -> Rows:
    """On the CPU. Raises OperatorError that names the text without any word."""
    return encoded(
        [text.text for text in texts], [text.id for text in texts], emotions.truth(texts), tokenizer, longest
    )
