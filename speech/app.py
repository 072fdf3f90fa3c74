"""HTTP routes of the speech domain."""

from contextlib import AbstractContextManager

from litestar import Router, post
from litestar.status_codes import HTTP_200_OK

from common.http.app import Domain
from common.http.bodies import AnyRequest, Upload, takes
from common.http.exchange import exchange
from common.http.forms import Files, FilesAndOptions
from common.http.room import Room
from common.runtime.models import Models
from common.settings import Settings
from contracts.media import AUDIO_TYPES, MIB
from contracts.speech import MAX_UPLOAD, SPEECH_LIMITS, EmotionBatchResponse, EmotionOptions, EmotionResponse
from speech.batch import batch
from speech.service import Listener

SECONDS = 120.0
"""Recordings get so long: ten minutes of speech, heard once and by windows, take a core half a minute."""
UPLOADS = 256 * MIB
"""Bytes of all recordings that are in hand at once: a form takes about three times its size while it is read."""

ONE = Upload("file", AUDIO_TYPES, EmotionOptions, SPEECH_LIMITS.bytes)
MANY = FilesAndOptions(EmotionOptions, Files(AUDIO_TYPES, SPEECH_LIMITS.bytes, alone=True), MAX_UPLOAD)


def routes(models: Models, _: Settings) -> Domain:
    """``/v1/speech/...`` over the models that hear speech."""
    listener, room = Listener(models), Room(UPLOADS)

    @post("/", opt=takes(ONE), status_code=HTTP_200_OK, summary="Name the emotion in a voice")
    async def name_emotion(request: AnyRequest) -> EmotionResponse:
        """WAV, FLAC, MP3, or Ogg with Vorbis or Opus, of 0.3 s to 10 minutes, at any rate, mono or not.

        Every label that the model knows with its probability; with `segments` also window by window.
        """
        with _upload(request, room, SPEECH_LIMITS.bytes):
            content, options = await ONE.read(request)
            return await listener.one(content, options, exchange(request).call)

    @post("/batch", opt=takes(MANY), status_code=HTTP_200_OK, summary="Name the emotion in many voices")
    async def name_emotions(request: AnyRequest) -> EmotionBatchResponse:
        """A form of up to 32 recordings, each a part of its own name. What is wrong with one is told in its place and
        fails no other; the options are for all, and a transcript (`text`) is for one recording alone."""
        with _upload(request, room, MAX_UPLOAD):
            files, options = await MANY.read(request)
            return await batch(listener, files, options, exchange(request))

    return Domain(Router("/v1/speech/emotion", route_handlers=[name_emotion, name_emotions], tags=["speech"]))


def _upload(request: AnyRequest, room: Room, most: int) -> AbstractContextManager[None]:
    """Around what reads and uses a large body: more time than other requests have, and room in memory."""
    exchange(request).allow(SECONDS)
    return room.held(request, most)
