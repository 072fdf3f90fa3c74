"""Many recordings in one request: an answer or a problem for each."""

from collections.abc import Sequence

from common.errors import BackendFault, Invalid, Rejected
from common.http.exchange import Exchange
from common.http.forms import File
from common.http.problems import failure
from contracts.speech import MAX_CLIPS, ClipEmotion, EmotionBatchResponse, EmotionItem, EmotionOptions
from speech.service import Listener


async def batch(
    listener: Listener, files: Sequence[File], options: EmotionOptions, ex: Exchange
) -> EmotionBatchResponse:
    """Raises Invalid for too many files or a transcript with several, and as ``Listener`` does what is wrong with all
    of them."""
    if len(files) > MAX_CLIPS:
        raise Invalid.field("form", f"holds {len(files)} recordings, at most {MAX_CLIPS} are taken; send them in parts")
    if options.text is not None and len(files) > 1:
        raise Invalid.field("text", "is the transcript of one recording; send each recording that has one by itself")
    served = listener.served(options)
    found = await listener.many(served, files, options, ex.call)
    return EmotionBatchResponse(
        items=tuple(_item(file.name, one, ex) for file, one in zip(files, found, strict=True)),
        model=served.card.name,
        version=served.version,
        use=served.card.use,
        request_id=ex.call.request_id,
    )


def _item(name: str, found: ClipEmotion | Rejected | BackendFault, ex: Exchange) -> EmotionItem:
    if isinstance(found, ClipEmotion):
        return EmotionItem(name=name, answer=found)
    return EmotionItem(name=name, problem=failure(found, ex).problem)
