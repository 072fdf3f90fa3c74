"""What a served model hears in one recording, without a server."""

import asyncio
from pathlib import Path

from common.errors import OperatorError, Rejected
from common.registry.store import Repository
from common.runtime.base import Call
from common.runtime.local import LocalBackend
from common.runtime.models import Models
from contracts.speech import MODEL, EmotionOptions, EmotionResponse
from speech.service import Listener


def predict(*, file: Path, models: Path, model: str | None = None) -> EmotionResponse:
    """``kithara predict medusa FILE``: every label with its probability, and the default options else.

    Raises OperatorError.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise OperatorError(f"cannot read {file}: {error.strerror}; name a sound file") from error
    return asyncio.run(_predict(file, content, models, model or MODEL))


async def _predict(file: Path, content: bytes, root: Path, ref: str) -> EmotionResponse:
    repository = Repository(root)
    served = Models(repository, LocalBackend(threads=1, device="cpu"), names=[repository.resolve(ref)[0]])
    await served.start()
    try:
        return await Listener(served).one(content, EmotionOptions(model=ref), Call("predict"))
    except Rejected as error:
        raise OperatorError(f"{file}: {error.detail}") from error
    finally:
        await served.stop(drain=0.0)
