"""Real pictures over real HTTP: the answers are as right as the model cards say."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest
from PIL import Image

from common.data.images import load_images
from contracts.models import ModelDetail
from contracts.vision_nlp import ClassifyResponse

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ["KITHARA_DATA"]) if os.environ.get("KITHARA_DATA") else None
PNG = {"content-type": "image/png"}
MOST = 2000
"""Pictures posted per data set."""


def png(pixels: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("model", "dataset"),
    [
        ("fff-digits", "digits"),
        pytest.param(
            "fff-fashion-mnist",
            "fashion_mnist",
            marks=pytest.mark.skipif(DATA is None, reason="set KITHARA_DATA to a folder with fashion_mnist/test.npz"),
        ),
    ],
)
def test_accuracy_is_what_the_card_states(suite: str, model: str, dataset: str) -> None:
    test = load_images(dataset, DATA).test
    with httpx.Client(base_url=suite) as client, ThreadPoolExecutor(4) as pool:
        detail = msgspec.json.decode(client.get(f"/v1/models/{model}").content, type=ModelDetail)

        def label(pixels: np.ndarray) -> str:
            answer = client.post("/v1/vision/classify", params={"model": model}, content=png(pixels), headers=PNG)
            return msgspec.json.decode(answer.content, type=ClassifyResponse).label

        answers = list(pool.map(label, test.images[:MOST]))
    stated = next(m for m in detail.card.metrics if (m.name, m.split) == ("accuracy", "test"))
    right = np.mean([a == detail.card.labels[i] for a, i in zip(answers, test.labels[:MOST], strict=True)])
    if len(answers) == stated.n:
        assert right == pytest.approx(stated.value, abs=1e-9)
    else:
        # Four standard errors of a sample of this size around the stated share: one run in 16,000 falls outside.
        assert right == pytest.approx(stated.value, abs=4 * (stated.value * (1 - stated.value) / len(answers)) ** 0.5)


def test_the_readmes_picture_gets_the_readmes_answer(suite: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    stated = json.loads(readme.partition("```json\n")[2].partition("```")[0])
    picture = (ROOT / "docs/trouser.png").read_bytes()
    answer = httpx.post(f"{suite}/v1/vision/classify", params={"top_k": 2}, content=picture, headers=PNG).json()
    assert answer.keys() == stated.keys()
    assert {k: v for k, v in answer.items() if k in ("label", "leaf", "model", "version")} == {
        k: v for k, v in stated.items() if k in ("label", "leaf", "model", "version")
    }
    for ours, theirs in zip(answer["scores"], stated["scores"], strict=True):
        assert ours["label"] == theirs["label"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-4)


def test_the_suite_stays_up_through_bad_input(suite: str) -> None:
    with httpx.Client(base_url=suite) as client:
        good = (ROOT / "docs/trouser.png").read_bytes()
        statuses = [
            client.post("/v1/vision/classify", content=content, headers=headers).status_code
            for content, headers in [
                (good[:100], PNG),
                (b"", PNG),
                (good, {"content-type": "text/plain"}),
                (b"\0" * (11 * 1024 * 1024), PNG),
            ]
        ]
        assert statuses == [400, 400, 415, 413]
        assert client.post("/v2/models/none/infer", json={"inputs": []}).status_code == 404
        assert client.get("/readyz").json()["ready"] is True
        assert client.post("/v1/vision/classify", content=good, headers=PNG).status_code == 200


def test_metrics_and_logs_name_the_request(suite: str) -> None:
    marker = f"e2e-{time.time_ns()}"
    answer = httpx.get(f"{suite}/v1/models", headers={"x-request-id": marker})
    assert answer.headers["x-request-id"] == marker
    assert (
        'kithara_request_seconds_count{method="GET",route="/v1/models",status="200"}'
        in httpx.get(f"{suite}/metrics").text
    )
