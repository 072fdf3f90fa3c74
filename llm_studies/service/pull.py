"""``POST /v1/llm/priors/pull``: anybody's predictions in, the pull of the prior out; no language model is asked."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, product
from typing import Self

import numpy as np

from common.claims.similarity import item_parts, measures
from common.errors import Invalid
from common.runtime.base import Call
from contracts.priors import FitCheck, PullEstimate, PullRequest, PullResponse, Similarity, TrivialLevel
from llm_studies.icl_priors.chance import trivial_levels
from llm_studies.icl_priors.predictive import Check
from llm_studies.icl_priors.pull import Estimate, estimate

WORK = 500_000
"""Bootstrap rounds x (labels + 1): what bounds the time, about 70 microseconds each."""
TABLE = 4_000_000
"""Numbers in the largest array of tables, 8 bytes each; the fit holds some eight of its size. The bootstrap's weights,
items x rounds of 4 bytes, are at most 80 MB by the bounds of the fields. Two such answers fit the pod's 768 MiB."""
THREADS = 2
"""As many estimates at once, whatever the load: they are pure computation."""
ASSUMPTION = (
    "Given the latent prior, whether a cell copies it does not depend on the truth, and the prior runs err "
    "independently of one another and of the posteriors; no data of this kind can test it."
)


class PullEstimator:
    """Estimates beside the event loop. A resource of the application, for its threads.

    The threads are its own: an estimate whose caller has left still runs to its end, and keeps its thread until then.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "pull")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def estimate(self, body: PullRequest, call: Call) -> PullResponse:
        """Raises Invalid for matrices of different shapes, for more work than one answer may be, and for data that
        leave the pull open."""
        check(body)
        started = time.perf_counter()
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, pull, body, call.request_id)
        call.timing.infer += time.perf_counter() - started
        return answer


def check(body: PullRequest) -> None:
    """Raises Invalid that names the field."""
    shape = (len(body.truth), len(body.truth[0]))
    runs = [("truth", body.truth)]
    runs += [(f"{name}[{at}]", run) for name in ("priors", "posteriors") for at, run in enumerate(getattr(body, name))]
    for field, run in runs:
        if len(run) != shape[0] or any(len(row) != shape[1] for row in run):
            raise Invalid.field(field, f"is not {shape[0]} items x {shape[1]} labels as the first row of truth has it")
    if body.labels is not None and len(body.labels) != shape[1]:
        raise Invalid.field("labels", f"names {len(body.labels)} of {shape[1]} columns")
    counts = 2 * (len(body.priors) + 1) * (len(body.posteriors) + 1) * (shape[1] + 1)
    if (body.rounds * (shape[1] + 1) > WORK) or counts * max(body.rounds, shape[0]) > TABLE:
        raise Invalid.field("rounds", "items x labels x runs x rounds is more than one answer takes; send less of each")


def pull(body: PullRequest, request_id: str) -> PullResponse:
    """The whole computation."""
    truth, priors, posteriors = (np.array(part, np.bool_) for part in (body.truth, body.priors, body.posteriors))
    found = estimate(truth, priors, posteriors, names=body.labels or (), rounds=body.rounds, seed=body.seed)
    return PullResponse(
        overall=_estimate(found.overall),
        labels=tuple(_estimate(one) for one in found.labels),
        fit=tuple(_check(one) for one in found.fit),
        similarities=tuple(_similarities(truth, priors, posteriors)),
        trivial=tuple(TrivialLevel(**level._asdict()) for level in trivial_levels(truth, seed=body.seed)),
        assumption=ASSUMPTION,
        items=len(truth),
        rounds=body.rounds,
        request_id=request_id,
    )


def _estimate(one: Estimate) -> PullEstimate:
    return PullEstimate(**{name: getattr(one, name) for name in PullEstimate.__struct_fields__})


def _check(one: Check) -> FitCheck:
    return FitCheck(**one._asdict())


def _similarities(truth: np.ndarray, priors: np.ndarray, posteriors: np.ndarray) -> Iterator[Similarity]:
    yield _similarity("prior, prior", list(combinations(priors, 2)))
    if len(posteriors) > 1:
        yield _similarity("posterior, posterior", list(combinations(posteriors, 2)))
    yield _similarity("prior, posterior", list(product(priors, posteriors)))
    yield _similarity("prior, truth", [(run, truth) for run in priors])
    yield _similarity("posterior, truth", [(run, truth) for run in posteriors])


def _similarity(pair: str, runs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Similarity:
    means = np.mean([measures(item_parts(a, b).sum(0), len(a)) for a, b in runs], axis=0).tolist()
    return Similarity(pair=pair, js=means[0], micro_f1=means[1], macro_f1=means[2])  # type: ignore[arg-type]
