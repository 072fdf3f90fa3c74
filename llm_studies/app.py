"""HTTP routes of the language model studies."""

from litestar import Response, Router, post
from litestar.status_codes import HTTP_200_OK

from common.http.app import Domain, TimedResponse
from common.http.bodies import AnyRequest, JsonBody, takes
from common.http.events import STREAMS, Emit, EventStream
from common.http.exchange import exchange
from common.runtime.models import Models
from common.settings import Settings
from contracts.llm_studies import LevelAnswer, SolveRequest, SolveResponse
from contracts.priors import PriorsClassifyRequest, PriorsClassifyResponse, PullRequest, PullResponse
from llm_studies.service.priors import PriorsClassifier
from llm_studies.service.pull import PullEstimator
from llm_studies.service.solve import Solver
from llm_studies.service.upstream import Upstream

EVENTS = {"level": LevelAnswer, "solution": SolveResponse}


def routes(models: Models, settings: Settings) -> Domain:
    """``/v1/llm/...`` over the language model that the settings name. Raises OperatorError for a wrong profile."""
    upstream = Upstream(settings)
    solver, classifier, estimator = Solver(upstream), PriorsClassifier(upstream, models), PullEstimator()
    problem = JsonBody(SolveRequest, settings.json_bytes)
    text = JsonBody(PriorsClassifyRequest, settings.json_bytes)
    predictions = JsonBody(PullRequest, settings.json_bytes)

    def patient(request: AnyRequest) -> None:
        """A language model takes longer than everything else: its profile says how long."""
        if upstream.profile is not None:
            exchange(request).allow(upstream.profile.deadline)

    @post(
        "/solve",
        opt={**takes(problem), STREAMS: EVENTS},
        status_code=HTTP_200_OK,
        summary="Solve a problem by a ladder of ways of thinking",
    )
    async def solve(request: AnyRequest) -> Response[SolveResponse]:
        """BloomWise: the model is asked level by level until its answers agree; `stream` sends each as an event."""
        body, ex = await problem.read(request), exchange(request)
        patient(request)

        async def work(emit: Emit) -> None:
            emit("solution", await solver.solve(body, ex.call, lambda level: emit("level", level)))

        if body.stream:
            return EventStream(work, ex)
        return TimedResponse(await solver.solve(body, ex.call, lambda _: None))

    @post("/priors/classify", opt=takes(text), status_code=HTTP_200_OK, summary="Classify a text by prompting")
    async def classify_priors(request: AnyRequest) -> PriorsClassifyResponse:
        """Under the posterior (demonstrations with their labels), a prior proxy, or the supervised reference."""
        body = await text.read(request)
        if body.condition != "supervised":
            patient(request)
        return await classifier.classify(body, exchange(request).call)

    @post("/priors/pull", opt=takes(predictions), status_code=HTTP_200_OK, summary="Estimate the pull of a prior")
    async def pull(request: AnyRequest) -> PullResponse:
        """From predictions of anybody's runs: kappa, the prior's noise, and how well the model fits. Asks no model."""
        return await estimator.estimate(await predictions.read(request), exchange(request).call)

    router = Router("/v1/llm", route_handlers=[solve, classify_priors, pull], tags=["language models"])
    return Domain(router, (upstream, solver, estimator))
