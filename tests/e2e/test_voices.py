"""Real recordings over real HTTP: the answers are as right as the starter's card says, alone and in a batch."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import pytest
from sklearn.metrics import f1_score

from contracts.models import ModelDetail
from contracts.speech import MODEL, EmotionBatchResponse, EmotionResponse
from speech.medusa import corpora

DATA = Path(os.environ["KITHARA_DATA"]) if os.environ.get("KITHARA_DATA") else None
OGG = "audio/ogg"
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        DATA is None or not (DATA / "emodb").is_dir(),
        reason="set KITHARA_DATA to a folder with emodb/, recordings of the Berlin Database of Emotional Speech",
    ),
]


def test_macro_f1_is_what_the_card_states(suite: str) -> None:
    clips = corpora.load("emodb", DATA).split("test")
    with httpx.Client(base_url=suite, timeout=60) as client, ThreadPoolExecutor(4) as pool:
        card = msgspec.json.decode(client.get(f"/v1/models/{MODEL}").content, type=ModelDetail).card

        def heard(content: bytes) -> EmotionResponse:
            answer = client.post("/v1/speech/emotion", content=content, headers={"content-type": OGG})
            return msgspec.json.decode(answer.content, type=EmotionResponse)

        answers = list(pool.map(heard, [clip.audio() for clip in clips]))
        form = {f"clip{n}": (f"{n}.opus", clip.audio(), OGG) for n, clip in enumerate(clips[:8])}
        batch = msgspec.json.decode(
            client.post("/v1/speech/emotion/batch", files=form).content, type=EmotionBatchResponse
        )
    truth = [card.labels[int(clip.target.argmax())] for clip in clips]
    said = [answer.label for answer in answers]
    stated = next(m for m in card.metrics if (m.name, m.split) == ("macro_f1", "test"))
    assert stated.n == len(clips)
    # A clip at a tie may fall to the other side on another machine.
    assert f1_score(truth, said, average="macro", labels=card.labels) == pytest.approx(stated.value, abs=0.02)
    for alone, beside in zip(answers[:8], batch.items, strict=True):
        assert beside.answer is not None
        assert beside.answer.scores == pytest.approx(alone.scores, abs=1e-4)
