"""Name the emotion in recordings: decode, cut into pieces and windows, front end, executions, answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import msgspec
import numpy as np

from common.errors import BackendFault, DeadlineExceeded, Invalid, Rejected
from common.http.forms import File
from common.runtime.base import Call
from common.runtime.models import Models
from common.runtime.packs import packs
from common.runtime.slots import Served
from common.runtime.together import together
from contracts.models import ModelCard, SpeechInput
from contracts.speech import (
    ATTRIBUTES,
    EMBEDDING,
    LOGITS,
    MAX_SEGMENTS,
    ClipEmotion,
    EmotionOptions,
    EmotionResponse,
)
from speech.answers import Recording, Said, clip_emotion
from speech.features import Speech, pieces, segments, to_speech, warnings
from speech.inputs import frames, graph_inputs, signature
from speech.transcripts import Transcript, transcript

T = TypeVar("T")

WORKERS = 2
"""Threads that decode recordings and make frames of them, for all requests together."""
IN_HAND = 8
"""Decoded recordings of all requests: one of ten minutes takes 40 MB."""
AHEAD = 2
"""Executions of one recording that are prepared or wait at once: others get between."""
LONGEST_SECONDS = 3600.0
"""For an answer, where no deadline is shorter."""


class Listener:
    """Answers for recordings with any served model that hears speech; memory and load are bounded over all requests."""

    def __init__(self, models: Models) -> None:
        self._models = models
        # A pool of its own: a thread goes on when its caller has left, and yet there are never more of them.
        self._workers = ThreadPoolExecutor(WORKERS, "speech")
        self._in_hand = asyncio.Semaphore(IN_HAND)

    async def one(self, content: bytes, options: EmotionOptions, call: Call) -> EmotionResponse:
        """Raises what ``to_speech`` raises, Invalid for what the model or the recording cannot do, and as ``served``
        and ``Engine.infer`` do; DeadlineExceeded also while it waits for others."""
        served = self.served(options)
        text = await self._read(served, options, call)
        clip = await _within(call, self._clip(served, File("file", content), options, text, call))
        return EmotionResponse(
            **msgspec.structs.asdict(clip),
            model=served.card.name,
            version=served.version,
            use=served.card.use,
            request_id=call.request_id,
        )

    async def many(
        self, served: Served, files: Sequence[File], options: EmotionOptions, call: Call
    ) -> list[ClipEmotion | Rejected | BackendFault]:
        """An answer for each file, or what is wrong with it. Raises as ``one`` does what is wrong with all."""
        text = await self._read(served, options, call)
        return await _within(call, together(self._clip_or_fault(served, file, options, text, call) for file in files))

    def served(self, options: EmotionOptions) -> Served:
        """Raises Unknown, NotReady, and Invalid for a model of another task or a window longer than it hears."""
        # Looked up once: front end, temperature and graph are of one version, whatever is loaded meanwhile.
        served = self._models.served(options.model)
        longest = _speech(served.card).longest
        if options.segments and options.window_s > longest:
            raise Invalid.field("window_s", f"at most {longest:g} s: {served.card.name} hears no more at once")
        return served

    async def _read(self, served: Served, options: EmotionOptions, call: Call) -> Transcript:
        read = partial(transcript, served, options.text)
        return read() if served.card.text is None else await self._beside(call, read)

    async def _clip_or_fault(
        self, served: Served, file: File, options: EmotionOptions, text: Transcript, call: Call
    ) -> ClipEmotion | Rejected | BackendFault:
        try:
            return await self._clip(served, file, options, text, call)
        except (Rejected, BackendFault) as fault:
            return fault

    async def _clip(
        self, served: Served, file: File, options: EmotionOptions, text: Transcript, call: Call
    ) -> ClipEmotion:
        if file.fault:
            raise file.fault
        async with self._in_hand:
            speech, warned = await self._beside(call, partial(_heard, file))
            spans = _spans(speech, options)
            cut = pieces(speech.samples, _speech(served.card).longest)
            said = await self._run(served, cut, text.ids, call)
            recording = Recording(speech, warned, tuple(map(len, cut)), said)
            if options.segments:
                # Nobody knows which words of the transcript fall into a window.
                silent = None if text.ids is None else ()
                windows = await self._run(served, [speech.samples[a:b] for a, b in spans], silent, call)
                recording = recording._replace(spans=tuple(spans), windows=windows)
        return clip_emotion(recording, served.card, options, text)

    async def _run(self, served: Served, rows: Sequence[np.ndarray], ids: tuple[int, ...] | None, call: Call) -> Said:
        """What the graph says of each row of samples, in executions that the card allows."""
        card, ahead = served.card, asyncio.Semaphore(AHEAD)
        described = _speech(card).functionals is not None
        found = {t.name: np.empty((len(rows), int(t.dims[1])), np.float32) for t in card.signature.outputs}

        async def run(pack: list[int]) -> None:
            async with ahead:
                inputs = await self._beside(
                    call, partial(graph_inputs, [rows[at] for at in pack], ids, whole=described)
                )
                leg = Call(call.request_id, call.deadline)
                outputs = await served.engine.infer(inputs, leg)
            for name, whole in found.items():
                whole[pack] = outputs[name]
            call.timing.queue += leg.timing.queue
            call.timing.infer += leg.timing.infer

        lengths = [frames(len(row)) * max(1, len(ids or ())) for row in rows]
        await together(run(pack) for pack in packs(lengths, card.limits))
        if not all(np.isfinite(whole).all() for whole in found.values()):
            raise BackendFault(
                f"{card.name}@{served.version} answered with numbers that are not finite; publish it anew"
            )
        return Said(found[LOGITS], found.get(ATTRIBUTES), found[EMBEDDING])

    async def _beside(self, call: Call, work: Callable[[], T]) -> T:
        """``work`` in one of the threads; its own time counts as decoding."""
        done, seconds = await asyncio.get_running_loop().run_in_executor(self._workers, _timed, work)
        call.timing.decode += seconds
        return done


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def _speech(card: ModelCard) -> SpeechInput:
    """Raises Invalid for a model that does not hear speech."""
    spec, width = card.speech, card.signature.outputs[-1].dims[-1]
    text = card.text is not None
    if (
        spec is None
        or not isinstance(width, int)
        or card.signature
        != signature(len(card.labels), width, attributes=spec.attributes, text=text, whole=spec.functionals is not None)
    ):
        raise Invalid.field(
            "model", f"{card.name!r} names no emotion in speech, its task is {card.task}; GET /v1/models lists others"
        )
    return spec


def _spans(speech: Speech, options: EmotionOptions) -> list[tuple[int, int]]:
    if not options.segments:
        return []
    spans = segments(len(speech.samples), options.window_s, options.hop_s)
    if len(spans) > MAX_SEGMENTS:
        raise Invalid.field("hop_s", f"{len(spans)} segments, at most {MAX_SEGMENTS} are answered; give a longer hop")
    return spans


def _heard(file: File) -> tuple[Speech, tuple[str, ...]]:
    """The recording and what makes an answer for it less reliable. Raises what ``to_speech`` raises."""
    speech = to_speech(file.content, file.name)
    return speech, warnings(speech)


async def _within(call: Call, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(max(0.0, call.remaining(LONGEST_SECONDS))):
            return await work
    except TimeoutError:
        raise DeadlineExceeded(
            "there is no answer within the deadline; ask with a later one, or for a shorter recording"
        ) from None
