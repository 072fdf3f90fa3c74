"""A caller's transcript as a model reads it, or why it does not."""

from typing import NamedTuple

from common.errors import Invalid
from common.runtime.slots import Served
from common.text.features import published_tokenizer, tokens


class Transcript(NamedTuple):
    """Of one recording."""

    ids: tuple[int, ...] | None = None
    """None: the model reads no text. Empty: there is none to read."""
    warnings: tuple[str, ...] = ()

    @property
    def used(self) -> bool:
        """Whether words of it enter the answer."""
        return bool(self.ids)


def transcript(served: Served, text: str | None) -> Transcript:
    """``text`` in the tokens of this version. What it has beyond the card's ``max_tokens`` is not read."""
    card = served.card
    if card.text is None:
        return Transcript(warnings=(f"{card.name} hears sound only: the transcript was not read",) if text else ())
    tokenizer = published_tokenizer(served.folder / card.text.tokenizer, card.files[card.text.tokenizer])
    try:
        ids = tokens(tokenizer, text or "")
    except Invalid:  # nothing but white space and control characters
        return Transcript((), (f"{card.name} also reads a transcript, and had none: it heard the sound alone",))
    most = card.text.max_tokens
    cut = (f"of the transcript's {len(ids)} tokens {card.name} read the first {most}",) if len(ids) > most else ()
    return Transcript(tuple(ids[:most]), cut)
