"""``POST /v1/llm/priors/pull`` over the whole suite; no language model is there."""

import asyncio
import subprocess
import sys
import threading

import httpx
import msgspec
import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score

from common.runtime.base import Call
from common.settings import Settings
from contracts.priors import PullRequest, PullResponse
from contracts.problem import Problem
from deploy.app import create_app
from llm_studies.icl_priors.pull import estimate
from llm_studies.service import pull as pulling

PATH = "/v1/llm/priors/pull"


def draws(items: int = 80, labels: int = 3, kappa: float = 0.5, seed: int = 0) -> dict[str, np.ndarray]:
    """Truth, three noisy prior runs, two posterior runs that copy the latent prior with probability kappa."""
    rng = np.random.default_rng(seed)
    truth = rng.random((items, labels)) < 0.4
    prior = truth ^ (rng.random(truth.shape) < 0.3)
    runs = prior ^ (rng.random((3, *truth.shape)) < 0.1)
    return {
        "truth": truth,
        "priors": runs,
        "posteriors": np.where(rng.random((2, *truth.shape)) < kappa, prior, truth),
    }


def body(**more: object) -> dict:
    return {name: part.astype(int).tolist() for name, part in draws().items()} | {"rounds": 50, "seed": 4} | more


@pytest.fixture
async def client(tmp_path):
    app = create_app(Settings(models=str(tmp_path), access_log=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://suite") as client:
        yield client


async def test_the_answer_is_the_estimators(client: httpx.AsyncClient) -> None:
    response = await client.post(PATH, json=body(labels=["a", "b", "c"]), headers={"x-request-id": "p1"})
    assert response.status_code == 200, response.text
    answer = msgspec.json.decode(response.content, type=PullResponse)
    expected = estimate(**draws(), names=("a", "b", "c"), rounds=50, seed=4)
    assert answer.overall.kappa == expected.overall.kappa
    assert answer.overall.kappa_interval == expected.overall.kappa_interval
    assert [(one.label, one.kappa, one.eps1) for one in answer.labels] == [
        (one.label, one.kappa, one.eps1) for one in expected.labels
    ]
    assert [one.pair for one in answer.fit] == [one.pair for one in expected.fit]
    assert (answer.items, answer.rounds, answer.request_id) == (80, 50, "p1")
    assert "independently" in answer.assumption


async def test_similarities_and_trivial_levels_equal_scikit_learns(client: httpx.AsyncClient) -> None:
    answer = msgspec.json.decode((await client.post(PATH, json=body(rounds=0))).content, type=PullResponse)
    data = draws()
    found = {one.pair: one for one in answer.similarities}
    expected = np.mean([f1_score(data["truth"], run, average="micro") for run in data["priors"]])
    assert found["prior, truth"].micro_f1 == pytest.approx(expected)
    pairs = [
        jaccard_score(a, b, average="samples", zero_division=1) for a in data["priors"] for b in data["posteriors"]
    ]
    assert found["prior, posterior"].js == pytest.approx(np.mean(pairs))
    none = next(one for one in answer.trivial if one.name == "always none")
    assert none.js == pytest.approx(np.mean(~data["truth"].any(1)))
    assert answer.overall.kappa_interval is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"priors": body()["priors"][:2]}, "priors"),
        ({"posteriors": []}, "posteriors"),
        ({"truth": body()["truth"][:-1]}, "priors[0]"),
        ({"truth": [[0, 1, 2]]}, "truth[0][2]"),
        ({"truth": [[0, 1], [0]]}, "truth"),
        ({"labels": ["a"]}, "labels"),
        ({"labels": ["a", "a", "b"]}, ""),
        ({"rounds": 2001}, "rounds"),
    ],
)
async def test_a_wrong_field_is_named(client: httpx.AsyncClient, change: dict, field: str) -> None:
    answer = await client.post(PATH, json=body(**change))
    problem = msgspec.json.decode(answer.content, type=Problem)
    assert (answer.status_code, problem.errors[0].field) == (422, field)


async def test_data_that_leave_the_pull_open_are_refused_with_the_reason(client: httpx.AsyncClient) -> None:
    runs = [[[1], [0]]] * 3
    answer = await client.post(PATH, json={"truth": [[1], [0]], "priors": runs, "posteriors": runs[:1]})
    assert (answer.status_code, "prior and truth differ" in answer.json()["detail"]) == (422, True)


async def test_more_work_than_one_answer_is_refused_before_it_is_begun(client: httpx.AsyncClient) -> None:
    wide = [[i % 2] * 64 for i in range(60)]
    other = [[(i + 1) % 2] * 64 for i in range(60)]
    request = {"truth": wide, "priors": [wide, other, wide] * 10, "posteriors": [other] * 30, "rounds": 2000}
    msgspec.convert(request, PullRequest)
    answer = await client.post(PATH, json=request)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "rounds")


class Counted:
    """Stands for the computation; keeps its thread until it is let go."""

    def __init__(self) -> None:
        self.running = self.most = self.begun = 0
        self._lock, self.go = threading.Lock(), threading.Event()

    def __call__(self, *_: object) -> None:
        with self._lock:
            self.begun += 1
            self.running += 1
            self.most = max(self.most, self.running)
        self.go.wait(10)
        with self._lock:
            self.running -= 1


async def test_callers_that_leave_free_no_thread_that_still_works(monkeypatch) -> None:
    counted = Counted()
    monkeypatch.setattr(pulling, "pull", counted)
    request = msgspec.convert(body(), PullRequest)
    async with pulling.PullEstimator() as estimator:
        for _ in range(6):
            task = asyncio.create_task(estimator.estimate(request, Call("p")))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert (counted.begun, counted.most) == (2, 2)
        counted.go.set()
        await estimator.estimate(request, Call("p"))
    # Those that left before their turn were never begun.
    assert (counted.begun, counted.most, counted.running) == (3, 2, 0)


LARGEST = """
import re, sys
from pathlib import Path

import msgspec
import numpy as np

from contracts.priors import PullRequest
from llm_studies.service.pull import check, pull

items, labels, priors, rounds = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
truth, latent = rng.random((2, items, labels)) < 0.5
runs = (latent ^ (rng.random((priors + 1, items, labels)) < 0.1)).astype(int).tolist()
given = {"truth": truth.astype(int).tolist(), "priors": runs[1:], "posteriors": runs[:1], "rounds": rounds}
body = msgspec.convert(given, PullRequest)
check(body)

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

before = peak()
pull(body, "p")
print(peak() - before)
"""


@pytest.mark.parametrize(
    ("shape", "most"),
    [
        ((10_000, 1, 3, 2_000), 160),  # 76 MiB of weights; with the draws of all rounds at once it was 460
        ((90, 64, 32, 460), 330),  # 31 MiB of tables, and the fit's arrays of the same size
    ],
)
def test_the_largest_estimates_fit_the_pod_two_at_a_time(shape: tuple[int, ...], most: int) -> None:
    """MiB above the request itself, in a process of its own."""
    command = [sys.executable, "-c", LARGEST, *map(str, shape)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    assert 20 < int(ran.stdout) / 1024 < most
